"""What became of a frame that might have been enhanced, in words for a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from observatory.storage.enhancements import EnhancementOutcome, outcome_of


def in_words(said: Mapping[str, Any]) -> str:
    """One line about an enhancement.

    Parameters
    ----------
    said : Mapping
        Payload of the finding, as `observatory.storage.enhancements.enhancement_payload` makes it, or
        the reason why there is none.
    """
    outcome, reason = outcome_of(said)
    if outcome is EnhancementOutcome.REFUSED:
        return f"not enhanced: {reason}"
    if outcome is EnhancementOutcome.SKIPPED:
        return f"enhancement skipped: {reason}"
    words = ["enhanced ×2"]
    before, after = said["contrast_before"], said["contrast_after"]
    if before is not None and after is not None:
        words.append(f"granulation contrast {100 * before:.1f} → {100 * after:.1f} %")
    before, after = said["unsigned_flux_before_mx"], said["unsigned_flux_after_mx"]
    if before and after is not None:
        words.append(f"unsigned flux {100 * (after / before - 1):+.1f} %")
    return ", ".join([*words, f"trusted {100 * said['trusted_fraction']:.0f} %"])
