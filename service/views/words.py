"""Words and figures as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from observatory.nights import night_of
from observatory.words import lasting, seconds

_YEAR_S = 31_557_600  # Julian, as IAU counts
_AGES = (
    (_YEAR_S * 2, "y", _YEAR_S),
    (86400 * 2, "d", 86400),
    (3600 * 2, "h", 3600),
    (60 * 2, "min", 60),
    (0, "s", 1),
)


def age(seconds: float) -> str:
    """Round age with its unit, such as ``12 s``, ``5 min``, ``3 h``."""
    seconds = max(0, int(seconds))
    for least, unit, size in _AGES:
        if seconds >= least:
            return f"{seconds // size} {unit}"
    raise AssertionError("unreachable")


def clock(moment: datetime | None) -> str:
    """Time of day, UTC."""
    return "" if moment is None else f"{moment.astimezone(UTC):%H:%M:%S}"


def stamp(moment: datetime | None) -> str:
    """Date and time of day, UTC."""
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def machine(moment: datetime) -> str:
    """Time for a ``datetime`` attribute."""
    return moment.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def long_day(day: date) -> str:
    """Day as a heading, such as ``Friday 20 November 2026``."""
    return f"{day:%A} {day.day} {day:%B %Y}"


def cause(name: str) -> str:
    """Cause in plain words."""
    return name.replace("_", " ")


def share(value: float) -> str:
    """Probability in percent."""
    return f"{100 * value:.0f} %"


def percent(value: float) -> str:
    """Part of a whole in percent, small parts with their first figures."""
    return f"{100 * value:.0f} %" if value >= 0.0995 else f"{100 * value:.2g} %"


def powers(value: float) -> str:
    """Large number with its power of ten, such as ``1.32 × 10²²``."""
    if value == 0:
        return "0"
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(_RAISED)}"


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def exact_share(value: float) -> str:
    """Part of a whole in percent; what is not quite all of it never looks as if it were."""
    if value in (0.0, 1.0):
        return f"{100 * value:.0f} %"
    return f"{min(max(100 * value, 0.1), 99.9):.1f} %"


def grouped(value: int) -> str:
    """Whole number with its thousands apart (a thin space that does not break)."""
    return f"{value:,}".replace(",", "\u202f")


def size(count: int) -> str:
    """Number of bytes, rounded."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def printable(name: str) -> str:
    """File name on one line: what cannot be seen is shown as its escape."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in name
    )


def good_word(frame: Mapping[str, Any] | None) -> str:
    """What a frame of this camera that is not degraded is called: a good picture of a cloudy sky is not clear."""
    return "good" if frame is not None and frame.get("sky") else "clear"


def verdict(frame: Mapping[str, Any]) -> dict[str, str]:
    """What to say of a frame: kind (for colour and icon), icon, word and the rest."""
    quality = frame["quality"]
    if frame["status"] in ("received", "processing"):
        return {"kind": "waiting", "icon": "…", "word": "waiting", "rest": ""}
    if frame["status"] in ("rejected", "failed"):
        return {"kind": "refused", "icon": "✕", "word": frame["status"], "rest": ""}
    if quality is None:
        return {"kind": "none", "icon": "–", "word": "no analysis yet", "rest": ""}
    score = f"{quality['score']:.2f}"
    if not quality["is_degraded"]:
        return {"kind": "clear", "icon": "✓", "word": good_word(frame), "rest": score}
    causes = [cause(item["cause"]) for item in quality["causes"][:1]]
    return {"kind": "degraded", "icon": "⚠", "word": "degraded", "rest": ": ".join([score, *causes])}


def height(degrees: float) -> str:
    """Height over the horizon in words, such as ``31.2° below the horizon``."""
    return f"{abs(degrees):.1f}° {'above' if degrees >= 0 else 'below'} the horizon"


def evening(frame: Mapping[str, Any]) -> date:
    """Day on whose evening the night of an all-sky frame began, where its camera stands."""
    site = frame["sky"]["site"]
    return night_of(
        frame["date_obs"] or frame["received_at"], 0.0 if site is None else site["longitude_deg"]
    ).date


def signed(value: float) -> str:
    """Whole number with its sign (a true minus), such as ``−214``."""
    whole = round(value)
    return f"{whole:+d}".replace("-", "\u2212") if whole else "0"


def sentence(words: str) -> str:
    """Words with a capital at the beginning and a full stop at the end."""
    words = words.strip().rstrip(".")
    return f"{words[:1].upper()}{words[1:]}."


def sky_words(sky: Mapping[str, Any]) -> dict[str, str]:
    """What to say of a sky at a glance: the class, and the rest."""
    if sky["sky_class"] is None:
        return {"word": "not judged", "rest": printable(sky["reason"] or "")}
    rest = []
    if sky["aurora_probability"] is not None:
        rest.append(f"aurora {share(sky['aurora_probability'])}")
    if sky["cloud_cover"] is not None:
        rest.append(f"cloud {share(sky['cloud_cover'])}")
    return {"word": sky["sky_class"], "rest": ", ".join(rest).replace(" %", "\u00a0%")}


FILTERS = {
    "age": age,
    "clock": clock,
    "stamp": stamp,
    "machine": machine,
    "long_day": long_day,
    "cause": cause,
    "share": share,
    "percent": percent,
    "exact_share": exact_share,
    "grouped": grouped,
    "lasting": lasting,
    "size": size,
    "seconds": seconds,
    "printable": printable,
    "verdict": verdict,
    "height": height,
    "evening": evening,
    "signed": signed,
    "sentence": sentence,
    "sky_words": sky_words,
}
