"""What the page shows of a frame's enhancement: before and after, and the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from observatory.storage import enhancements
from observatory.storage.enhancements import EnhancementOutcome
from service.context import Context
from service.shapes import API
from service.views.words import exact_share, percent, powers

_UNITS = {"field": "kG"}  # of the continuum, the quiet Sun is 1


@dataclass(frozen=True)
class Pair:
    """Two pictures of one size, to be laid over each other."""

    before: str
    after: str
    width: int
    height: int


@dataclass(frozen=True)
class Number:
    """A line of figures; ``note`` says what they mean."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Enhanced:
    """What was made of a frame, or why nothing was."""

    outcome: str
    reason: str | None
    model: str
    numbers: Sequence[Number]
    pair: Pair | None
    fits: str | None


def enhanced(
    here: Context, frame_id: int, products: Sequence[Mapping[str, Any]], base: str
) -> Enhanced | None:
    """One frame's; None where enhancement was never tried."""
    row = enhancements.of_frame(here.db, frame_id)
    if row is None:
        return None
    is_made = row["outcome"] == EnhancementOutcome.ENHANCED
    newest: dict[str, Mapping[str, Any]] = {}
    for item in products:  # newest first
        newest.setdefault(item["kind"], item)
    return Enhanced(
        outcome=row["outcome"],
        reason=row["reason"],
        model=f"{row['model_name']} {row['model_version']}",
        numbers=_numbers(row) if is_made else (),
        pair=_pair(newest, base) if is_made else None,
        fits=_address(newest["enhanced"], base) if is_made and "enhanced" in newest else None,
    )


def _pair(newest: Mapping[str, Mapping[str, Any]], base: str) -> Pair | None:
    before, after = newest.get("compare-before"), newest.get("compare-after")
    if before is None or after is None or not before["width"] or not before["height"]:
        return None
    return Pair(_address(before, base), _address(after, base), before["width"], before["height"])


def _address(product: Mapping[str, Any], base: str) -> str:
    return f"{base}{API}/products/{product['id']}/data"


def _numbers(row: Mapping[str, Any]) -> list[Number]:
    found = []
    if row["contrast_before"] is not None and row["contrast_after"] is not None:
        change = f"{percent(row['contrast_before'])} → {percent(row['contrast_after'])}"
        found.append(Number("Granulation contrast", change, "rms over mean of the quiet Sun"))
    if row["unsigned_flux_before_mx"] is not None and row["unsigned_flux_after_mx"] is not None:
        change = f"{powers(row['unsigned_flux_before_mx'])} → {powers(row['unsigned_flux_after_mx'])} Mx"
        found.append(Number("Unsigned flux", change))
    if row["trusted_fraction"] is not None:
        share = exact_share(row["trusted_fraction"])
        found.append(Number("Trusted", share, "of the pixels: degraded again, they are the frame's"))
    if row["residual"] is not None:
        unit = _UNITS.get(row["quantity"] or "", "")
        noise = "" if row["noise"] is None else f"where the noise is {row['noise']:.2g}"
        found.append(Number("Residual", f"{row['residual']:.2g} {unit}".strip(), noise))
    return found
