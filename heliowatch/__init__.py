"""Heliowatch from Python: ``from heliowatch import score, analyse``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from observatory import __version__

if TYPE_CHECKING:
    from heliowatch.files import FrameReport, analyse, score

__all__ = ["FrameReport", "__version__", "analyse", "score"]


def __getattr__(name: str) -> Any:
    """Import the heavy parts only when they are asked for."""
    if name in ("FrameReport", "analyse", "score"):
        from heliowatch import files

        return getattr(files, name)
    raise AttributeError(f"module 'heliowatch' has no attribute {name!r}")
