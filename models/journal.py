"""What a training says of itself: a bar, ``metrics.csv``, TensorBoard where it is installed, and curves."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LOG = "metrics.csv"
STEPS = "{task.completed}/{task.total}"
PER_CENT = "{task.percentage:.0f} %"

_COLUMNS = 6  # curves beside one another


class Journal:
    """The bar and the numbers of one run; a resumed run goes on in the same files.

    Parameters
    ----------
    folder : Path
        Of the run.
    total, done : float
        Where the bar ends, and where it begins.
    counted : str
        How rich writes where the bar stands: `STEPS` or `PER_CENT`.
    """

    def __init__(self, folder: Path, total: float, done: float = 0.0, counted: str = STEPS) -> None:
        self._log = folder / LOG
        self._writer = _tensorboard(folder)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn(counted))
        # Standard output is for results.
        self._bar = Progress(
            *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)
        )
        self._task = self._bar.add_task("training", total=total)
        self.show(done)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if self._writer is not None:
            self._writer.close()

    def show(self, done: float) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=done)

    def note(self, row: Mapping[str, float], said: Mapping[str, float] | None = None) -> None:
        """Keep the numbers of a step, its ``step`` among them.

        Parameters
        ----------
        row : mapping of str to float
        said : mapping of str to float, optional
            What stands beside the bar; all but the step where it is not given.
        """
        _append(self._log, row)
        if self._writer is not None:
            for name, value in row.items():
                self._writer.add_scalar(name, value, int(row["step"]))
            self._writer.flush()
        spoken = {name: value for name, value in row.items() if name != "step"} if said is None else said
        words = " ".join(f"{name} {value:.4g}" for name, value in spoken.items())
        self._bar.update(self._task, description=f"training ({words})")


def _append(log: Path, row: Mapping[str, float]) -> None:
    names = list(row)
    is_new = not log.exists()
    if not is_new:
        with log.open(newline="") as stored:
            names = next(csv.reader(stored), names)
    with log.open("a", newline="") as file:
        # A row may lack what this step had not; what the first row had not finds no column.
        table = csv.DictWriter(file, names, restval="", extrasaction="ignore")
        if is_new:
            table.writeheader()
        table.writerow(row)


def _tensorboard(folder: Path) -> Any:
    """A writer where TensorBoard is installed, else None."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))


def draw_curves(folder: Path, left_out: Collection[str] = ("step", "seconds")) -> None:
    """All logged numbers against the step, as ``curves.png`` (matplotlib)."""
    from matplotlib.figure import Figure

    with (folder / LOG).open(newline="") as stored:
        rows = list(csv.DictReader(stored))
    names = [name for name in rows[0] if name not in left_out]
    columns = min(len(names), _COLUMNS)
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(4 * columns, 3.2 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    steps = [float(row["step"]) for row in rows]
    for axis, name in zip(axes, names, strict=False):
        axis.plot(steps, [float(row[name] or "nan") for row in rows], marker=".")
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("step", fontsize=8)
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    figure.savefig(folder / "curves.png", dpi=80)
