"""`heliowatch sky cluster`: which frames look alike, whatever they are called (scikit-learn)."""

from __future__ import annotations

import csv
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heliowatch.feature_store import Features, time_of
from heliowatch.folders import make_folder
from heliowatch.sky_figures import draw_clusters, needing_train
from observatory.errors import SettingsError
from observatory.words import counted

_MOST_AGGLOMERATED = 20_000  # memory grows with the square
_AXES = 30  # main axes that clusters are sought in: the rest is noise
_SAMPLED = 3000


class Method(StrEnum):
    """How clusters are found."""

    KMEANS = "kmeans"
    AGGLOMERATIVE = "agglomerative"


def run_cluster(rows: Features, out: Path, clusters: int, method: Method, seed: int) -> dict[str, Any]:
    """Write ``clusters.csv`` and ``clusters.png``; returns sizes and how well clusters are told apart.

    Raises
    ------
    SettingsError
        When there are fewer frames than clusters, or too many for the method.
    """
    if len(rows) < clusters:
        raise SettingsError(
            f"--clusters {clusters}: ask for fewer; there are only {counted(len(rows), 'frame')}"
        )
    if method is Method.AGGLOMERATIVE and len(rows) > _MOST_AGGLOMERATED:
        raise SettingsError(
            f"{len(rows):,} frames are too many to agglomerate (at most {_MOST_AGGLOMERATED:,}): "
            "use --method kmeans or a shorter --time"
        )
    make_folder(out)
    with needing_train("clustering"):
        axes, cluster = _cluster(rows.features, clusters, method, seed)
        told = _told(rows, axes, cluster, seed)
        draw_clusters(out / "clusters.png", axes[:, :2], cluster, rows.sky_class)
    with (out / "clusters.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "instrument", "frame", "sky_class", "cluster"])
        for row in range(len(rows)):
            when = time_of(int(rows.time_us[row])).isoformat().replace("+00:00", "Z")
            writer.writerow([when, rows.instrument[row], rows.frame[row], rows.sky_class[row], cluster[row]])
    return told


def _cluster(
    features: NDArray[np.floating], clusters: int, method: Method, seed: int
) -> tuple[NDArray[np.floating], NDArray[np.intp]]:
    from sklearn.cluster import AgglomerativeClustering, KMeans
    from sklearn.decomposition import PCA

    scale = features.std(axis=0)
    standard = (features - features.mean(axis=0)) / np.where(scale > 1e-6, scale, 1.0)
    count = min(_AXES, *standard.shape)
    axes = PCA(count, random_state=seed).fit_transform(standard)
    if axes.shape[1] < 2:
        axes = np.column_stack([axes, np.zeros(len(axes))])
    machine: Any = AgglomerativeClustering(clusters)
    if method is Method.KMEANS:
        machine = KMeans(clusters, n_init=10, random_state=seed)
    found = np.asarray(machine.fit_predict(axes), np.intp)
    largest_first = np.argsort(-np.bincount(found, minlength=clusters), kind="stable")
    return axes, np.argsort(largest_first, kind="stable")[found]


def _told(rows: Features, axes: NDArray[np.floating], cluster: NDArray[np.intp], seed: int) -> dict[str, Any]:
    from sklearn.metrics import adjusted_rand_score, silhouette_score

    sample = np.random.default_rng(seed).permutation(len(rows))[:_SAMPLED]
    is_told_apart = 1 < np.unique(cluster[sample]).size < sample.size
    return {
        "frames": len(rows),
        "frames_of_cluster": np.bincount(cluster).tolist(),
        "silhouette": float(silhouette_score(axes[sample], cluster[sample])) if is_told_apart else None,
        "agreement_with_classes": float(adjusted_rand_score(rows.sky_class, cluster)),
        "model": rows.model,
    }
