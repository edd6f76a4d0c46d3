"""A notification in words: as Alertmanager shapes it for programs, and as text for people.

Labels and annotations come from rules, headers and file names: what is to be one line is made one line, so
that no line break of theirs becomes a header of a mail.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from observatory.storage.outbox import Claimed

_NEVER = "0001-01-01T00:00:00Z"  # Alertmanager's word for an alert that has not ended
_LISTED = 10
_LONGEST_TITLE = 150
_LONGEST_LINE = 300
# Control characters, line and paragraph separators, and what turns the direction of writing around.
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")
_BLANKS = re.compile(r"\s+")

Alert = Mapping[str, Any]


def one_line(words: str, longest: int = _LONGEST_LINE) -> str:
    """Words without line breaks and other control characters, cut to a length."""
    line = _BLANKS.sub(" ", _ODD.sub(" ", words)).strip()
    return line if len(line) <= longest else line[: longest - 1] + "…"


def title(claimed: Claimed) -> str:
    """One line that says what fires, or ended, and where."""
    counts = Counter(alert["status"] for alert in claimed.alerts)
    state = "RESOLVED" if not counts["firing"] else "FIRING"
    kinds = {alert["kind"] for alert in claimed.alerts if alert["status"] == "firing"}
    if kinds == {"repeat"}:
        state = "STILL FIRING"
    elif kinds == {"escalation"}:
        state = "ESCALATED"
    rules = _different(alert["rule"] for alert in claimed.alerts)
    places = _different(alert["labels"].get("instrument", "") for alert in claimed.alerts)
    what = rules[0] if len(rules) == 1 else f"{len(rules)} rules"
    where = places[0] if len(places) == 1 else f"{len(places)} instruments"
    count = counts["firing"] or len(claimed.alerts)
    number = f":{count}" if count > 1 else ""
    return one_line(f"[{state}{number}] {what}" + (f", {where}" if where else ""), _LONGEST_TITLE)


def text(claimed: Claimed, base: str) -> str:
    """Everything that people need, in a few lines an alert; a storm is cut short.

    Parameters
    ----------
    base : str
        Address of the service as people see it; empty: no links.
    """
    ordered = sorted(claimed.alerts, key=lambda alert: alert["status"] == "resolved")
    lines = [line for alert in ordered[:_LISTED] for line in [*_lines_of(alert, base), ""]]
    others = ordered[_LISTED:]
    if others:
        places = Counter(str(alert["labels"].get("instrument", "")) for alert in others)
        most = ", ".join(f"{one_line(name, 64)} ({number})" for name, number in places.most_common(5))
        lines += [f"and {len(others)} more: {most}{', …' if len(places) > 5 else ''}", ""]
    lines.append(f"Key: {claimed.key}" + (f", attempt {claimed.attempt}" if claimed.attempt > 1 else ""))
    return "\n".join(lines)


def _lines_of(alert: Alert, base: str) -> list[str]:
    labels, notes = alert["labels"], alert["annotations"]
    state = "resolved" if alert["status"] == "resolved" else "firing"
    usual = f"{labels.get('alertname', '')} {labels.get('instrument', '')}"
    lines = [one_line(f"{state.upper()}: {notes.get('summary') or usual}")]
    if notes.get("description"):
        lines.append(one_line(notes["description"]))
    lines.append(one_line(", ".join(f"{name}: {value}" for name, value in sorted(labels.items()))))
    until = f", until {_minute(alert['ends_at'])}" if alert["ends_at"] else ""
    lines.append(f"since {_minute(alert['starts_at'])}{until} UTC")
    if notes.get("runbook_url"):
        lines.append(one_line(f"what to do: {notes['runbook_url']}"))
    if base:
        lines.append(address_of(alert, base))
    return lines


def webhook_body(claimed: Claimed, base: str) -> bytes:
    """What Alertmanager sends to webhooks, version 4 of its shape."""
    group = "".join(
        f', {name}="{_quoted(value)}"' for name, value in sorted(claimed.group_labels.items())
    ).removeprefix(", ")
    body = {
        "version": "4",
        "groupKey": f"{{}}:{{{group}}}",
        "truncatedAlerts": 0,
        "status": "firing" if any(item["status"] == "firing" for item in claimed.alerts) else "resolved",
        "receiver": claimed.channel,
        "groupLabels": claimed.group_labels,
        "commonLabels": _common([item["labels"] for item in claimed.alerts]),
        "commonAnnotations": _common([item["annotations"] for item in claimed.alerts]),
        "externalURL": base,
        "alerts": [_webhook_alert(item, base) for item in claimed.alerts],
    }
    return orjson.dumps(body)


def _webhook_alert(alert: Alert, base: str) -> dict[str, Any]:
    labels = orjson.dumps(sorted(alert["labels"].items()))
    return {
        "status": alert["status"],
        "labels": alert["labels"],
        "annotations": alert["annotations"],
        "startsAt": _iso(alert["starts_at"]),
        "endsAt": _iso(alert["ends_at"]) if alert["ends_at"] else _NEVER,
        "generatorURL": address_of(alert, base),
        "fingerprint": hashlib.blake2b(labels, digest_size=8).hexdigest(),
    }


def address_of(alert: Alert, base: str) -> str:
    """Where an alert can be looked at; empty when nobody knows our address."""
    return f"{base}/api/v1/alerts/{alert['alert_id']}" if base else ""


def _common(each: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What all say alike."""
    first = each[0] if each else {}
    return {name: value for name, value in first.items() if all(item.get(name) == value for item in each)}


def _different(words: Any) -> list[str]:
    return list(dict.fromkeys(words))


def _quoted(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _iso(moment: str) -> str:
    return datetime.fromisoformat(moment).isoformat().replace("+00:00", "Z")


def _minute(moment: str) -> str:
    return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M:%S}"
