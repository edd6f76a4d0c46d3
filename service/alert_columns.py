"""The columns of alerts as a table."""

from __future__ import annotations

from typing import Any

from service.tables import Column

ALERTS = (
    Column("id", "integer", "Number of the alert", ucd="meta.id;meta.main"),
    Column("rule", "text", "Name of its rule", ucd="meta.id"),
    Column("instrument", "text", "Instrument", ucd="meta.id;instr"),
    Column("severity", "text", "critical, warning, info, or the rule's word", ucd="meta.code.class"),
    Column("state", "text", "firing or resolved", ucd="meta.code.status"),
    Column("since", "time", "When its condition began to hold, UTC", ucd="time.start"),
    Column("fired_at", "time", "When it fired, UTC", ucd="time"),
    Column("resolved_at", "time", "When it was resolved, UTC", ucd="time.end"),
    Column("cause", "text", "What spoils the frames, if the rule is about that", ucd="meta.code.qual"),
    Column("acknowledged_by", "text", "Who said that they know of it"),
    Column("silenced_by", "integer", "Number of the silence that holds it back now", ucd="meta.id"),
    Column("summary", "text", "What it says", ucd="meta.note"),
)


def row(alert: dict[str, Any]) -> list[Any]:
    """Values of an alert for `ALERTS`."""
    known, cause = alert["acknowledged"], alert["evidence"].get("cause")
    told = {
        "cause": cause if isinstance(cause, str) else None,
        "acknowledged_by": known["author"] if known else None,
        "summary": alert["annotations"].get("summary"),
    }
    return [told[column.name] if column.name in told else alert[column.name] for column in ALERTS]
