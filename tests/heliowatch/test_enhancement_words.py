"""What became of an enhancement is told in one line, in the table of `analyse` and of the demonstration."""

from __future__ import annotations

import pytest

from heliowatch.enhancement_words import in_words
from heliowatch.files import FrameReport
from heliowatch.printing import verdict
from observatory.analysis import ModelIdentity, Quality

NUMBERS = {
    "quantity": "continuum",
    "contrast_before": 0.0363294,
    "contrast_after": 0.0690276,
    "unsigned_flux_before_mx": None,
    "unsigned_flux_after_mx": None,
    "residual": 0.000346,
    "noise": 0.001,
    "trusted_fraction": 0.994825,
}
FIELD = {"contrast_before": None, "contrast_after": None}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (NUMBERS, "enhanced ×2, granulation contrast 3.6 → 6.9 %, trusted 99 %"),
        (
            NUMBERS | FIELD | {"unsigned_flux_before_mx": 2.0e22, "unsigned_flux_after_mx": 1.99e22},
            "enhanced ×2, unsigned flux -0.5 %, trusted 99 %",
        ),
        (NUMBERS | FIELD, "enhanced ×2, trusted 99 %"),
        (NUMBERS | FIELD | {"unsigned_flux_before_mx": 0.0, "unsigned_flux_after_mx": 0.0}, "enhanced ×2"),
        ({"refused": "all pixels have the same value"}, "not enhanced: all pixels have the same value"),
        ({"skipped": "there was no time for it"}, "enhancement skipped: there was no time for it"),
    ],
)
def test_every_outcome_has_its_words(said: dict, words: str):
    assert in_words(said).startswith(words)


def test_a_report_tells_of_its_enhancement_in_table_and_json():
    quality = Quality(0.9, False, None, (), ModelIdentity("hmi_quality", "1.0.0", "0" * 64))
    report = FrameReport("a.fits", instrument="hmi-continuum", quality=quality, enhancement=NUMBERS)
    assert verdict(report) == f"✓ clear; {in_words(NUMBERS)}"
    assert report.as_json()["enhancement"] == NUMBERS
    assert "enhancement" not in FrameReport("a.fits", quality=quality).as_json()
