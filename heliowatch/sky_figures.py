"""Figures of the commands on the sky (matplotlib, which only trains and draws need)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.disturbance.scores import COMPONENTS, Roc
from observatory.errors import ModelError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.dates import DateLocator
    from matplotlib.figure import Figure

FloatArray = NDArray[np.floating]

# Okabe and Ito's colours, which the colour-blind tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
_MARKERS = "osD^vPX*"
_SIMULATED = "SIMULATED station: says nothing of any real field"


@contextmanager
def needing_train(verb: str) -> Iterator[None]:
    """Say what to install where a package of the training extra is missing.

    Raises
    ------
    ModelError
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModelError(f"{verb} needs {error.name}: pip install 'heliowatch[train]'") from error


def draw_confusion(
    path: Path, table: NDArray[np.integer], rows: Sequence[str], columns: Sequence[str]
) -> None:
    """Counts of what was seen (rows) against what was said (columns), coloured by their share of the row."""
    figure = _figure(1.1 * len(columns) + 3.0, 0.5 * len(rows) + 1.8)
    axis = figure.subplots()
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axis.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    for row, column in np.ndindex(*table.shape):
        colour = "white" if share[row, column] > 0.6 else "black"
        axis.text(column, row, str(table[row, column]), ha="center", va="center", color=colour)
    axis.set_xticks(range(len(columns)), list(columns))
    axis.set_yticks(range(len(rows)), list(rows))
    axis.set_xlabel("said")
    axis.set_ylabel("labelled")
    axis.set_title("Frames by label and by what was said of them", fontsize=10)
    figure.savefig(path, dpi=120)


def draw_clusters(path: Path, plane: FloatArray, cluster: NDArray[np.integer], classes: NDArray[Any]) -> None:
    """Two main axes of the features, by cluster; and how many frames of each class a cluster holds."""
    numbers = np.unique(cluster)
    columns = -(-numbers.size // 20)  # of the legend, beside the points: it would hide them
    figure = _figure(11.0 + 1.1 * columns, 4.6)
    left, right = figure.subplots(1, 2)
    for number in numbers:
        points = plane[cluster == number]
        left.scatter(
            *points.T,
            s=9,
            color=_colour(number),
            marker=_marker(number),
            label=f"{number} ({len(points)})",
            alpha=0.7,
            linewidths=0,
        )
    left.legend(
        title="cluster (frames)", fontsize=8, ncols=columns, loc="upper left", bbox_to_anchor=(1.0, 1.0)
    )
    left.set_xlabel("first main axis of the features")
    left.set_ylabel("second main axis")
    foot = np.zeros(numbers.size)
    for place, name in enumerate(sorted(set(classes.tolist()))):
        counts = np.array([np.count_nonzero((cluster == number) & (classes == name)) for number in numbers])
        right.bar(
            [str(number) for number in numbers],
            counts,
            bottom=foot,
            label=name or "not judged",
            color=_colour(place),
            edgecolor="white",
        )
        foot += counts
    right.legend(title="said to be", fontsize=8)
    right.set_xlabel("cluster")
    right.set_ylabel("frames")
    figure.savefig(path, dpi=120)


def draw_clouds(path: Path, days: NDArray[Any], cover: FloatArray, measured: FloatArray | None) -> None:
    """Cloud cover of each day, beside a ceilometer's where there is one."""
    from matplotlib.dates import DateFormatter

    figure = _figure(10.0, 3.6)
    axis = figure.subplots()
    axis.bar(days, 100.0 * cover, width=0.8, color=COLOURS[4], label="camera: share of cloudy sky")
    if measured is not None:
        axis.plot(
            days,
            100.0 * measured,
            color=COLOURS[5],
            marker="D",
            linestyle="none",
            clip_on=False,
            label="ceilometer: share of these frames with cloud below 2000 m",
        )
    axis.set_ylim(0, 100)
    axis.set_ylabel("%")
    axis.set_title("Cloud cover by day (UTC)", fontsize=10)
    axis.legend(fontsize=8)
    axis.xaxis.set_major_locator(_at_days(days))
    axis.tick_params(axis="x", rotation=20)
    axis.xaxis.set_major_formatter(DateFormatter("%Y-%m-%d"))
    figure.savefig(path, dpi=120)


def _at_days(days: NDArray[Any]) -> DateLocator:
    """Ticks at midnight, where the bars of days stand."""
    from matplotlib.dates import AutoDateLocator, DayLocator

    if days[-1] - days[0] < np.timedelta64(10, "D"):
        return DayLocator()
    return AutoDateLocator(minticks=2, maxticks=10, interval_multiples=False)


def draw_rocs(path: Path, rocs: Mapping[str, Roc], title: str) -> None:
    """Several ROC curves."""
    figure = _figure(4.8, 4.6)
    _rocs(figure.subplots(), rocs, title)
    figure.savefig(path, dpi=120)


def draw_disturbance(
    path: Path,
    times: NDArray[Any],
    predicted: FloatArray,
    measured: FloatArray,
    storms: Roc,
    threshold_nt: float,
    how: str,
    *,
    is_simulated: bool,
) -> None:
    """Scatter of the three components, ROC of storms, and the length of the disturbance over the frames."""
    figure = _figure(12.0, 7.4)
    grid = figure.add_gridspec(2, 4, height_ratios=(1.0, 0.8))
    for column, name in enumerate(COMPONENTS):
        axis = figure.add_subplot(grid[0, column])
        both = np.concatenate([predicted[:, column], measured[:, column]])
        low, high = float(both.min()), float(both.max())
        axis.plot([low, high], [low, high], color="grey", linewidth=1)
        axis.scatter(measured[:, column], predicted[:, column], s=6, alpha=0.5, color=COLOURS[column])
        axis.set_xlabel(f"measured {name.upper()} (nT)")
        axis.set_ylabel("told from the sky (nT)")
    _rocs(figure.add_subplot(grid[0, 3]), {"|ΔB|": storms}, f"above {threshold_nt:g} nT")
    below = figure.add_subplot(grid[1, :])
    order = np.argsort(times)
    for values, colour, label in (
        (measured, "black", "measured"),
        (predicted, COLOURS[5], "told from the sky"),
    ):
        below.plot(np.linalg.norm(values, axis=1)[order], color=colour, linewidth=0.9, label=label)
    below.axhline(threshold_nt, color="grey", linewidth=0.8, linestyle=":")
    below.set_xlabel("clear auroral frames in the order of time")
    below.set_ylabel("|ΔB| (nT)")
    below.legend(fontsize=8)
    head = f"Magnetic disturbance, {how}"
    figure.suptitle(
        f"{head}\n{_SIMULATED}" if is_simulated else head, color="#B00020" if is_simulated else "black"
    )
    figure.savefig(path, dpi=110)


def _rocs(axis: Axes, rocs: Mapping[str, Roc], title: str) -> None:
    for place, (name, curve) in enumerate(rocs.items()):
        area = "not known" if np.isnan(curve.area) else f"{curve.area:.3f}"
        axis.plot(curve.false_rate, curve.true_rate, color=_colour(place), label=f"{name}: area {area}")
    axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    axis.set_xlabel("false alarms (share)")
    axis.set_ylabel("hits (share)")
    axis.set_title(title, fontsize=10)
    axis.legend(fontsize=8, loc="lower right")


def _colour(number: int) -> str:
    return COLOURS[int(number) % len(COLOURS)]


def _marker(number: int) -> str:
    """Another one for each colour, and in each round of the colours: 64 pairs differ."""
    return _MARKERS[int(number + number // len(COLOURS)) % len(_MARKERS)]


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
