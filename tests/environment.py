"""What the caller's environment says is none of a test's business."""

from __future__ import annotations

import os

import pytest


def forget_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the caller's settings out of the environment, but not the place of the real frames."""
    for name in [name for name in os.environ if name.startswith("HELIOWATCH_")]:
        if name != "HELIOWATCH_TEST_DATA":
            monkeypatch.delenv(name)
