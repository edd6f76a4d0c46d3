"""Progress bars, on stderr: stdout belongs to the data."""

from __future__ import annotations

from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn


def progress_bars() -> Progress:
    """Bars that count, with the time gone and the time left."""
    return Progress(
        *Progress.get_default_columns()[:-1],
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
