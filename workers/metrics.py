"""Counters and histograms of the hands; true under several processes.

With ``PROMETHEUS_MULTIPROC_DIR`` set before this module is imported, all processes of a worker
share their numbers through files in that folder, and `serve` answers for all of them.
"""

from __future__ import annotations

import os

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

from observatory.errors import SettingsError

_LATENCY_BUCKETS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800)
_STAGE_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60)

frames_ingested = Counter("heliowatch_frames_ingested", "Frames that got their row", ["instrument"])
frames_processed = Counter(
    "heliowatch_frames_processed",
    "Frames worked on, by outcome: done, rejected, failed, retried",
    ["instrument", "outcome"],
)
frame_quality = Histogram(
    "heliowatch_frame_quality_score",
    "Quality score, 1 is best",
    ["instrument"],
    buckets=[n / 10 for n in range(1, 11)],
)
frames_degraded = Counter("heliowatch_frames_degraded", "Degraded frames by cause", ["instrument", "cause"])
enhancements_skipped = Counter(
    "heliowatch_enhancements_skipped", "Full disks not enhanced for want of time", ["instrument"]
)
frame_latency = Histogram(
    "heliowatch_frame_latency_seconds",
    "File closed to result committed",
    ["instrument"],
    buckets=_LATENCY_BUCKETS,
)
stage_duration = Histogram(
    "heliowatch_stage_duration_seconds", "Time of one stage", ["instrument", "stage"], buckets=_STAGE_BUCKETS
)
inference_duration = Histogram(
    "heliowatch_inference_duration_seconds",
    "Time of one analysis by a network",
    ["model", "provider"],
    buckets=_STAGE_BUCKETS,
)


def serve(port: int, host: str = "") -> None:
    """Answer ``/metrics`` on a port of this process, for all processes that share the folder.

    Raises
    ------
    SettingsError
        When another process has the port, or this one may not take it.
    """
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
    try:
        start_http_server(port, addr=host or "0.0.0.0", registry=registry)
    except OSError as error:
        raise SettingsError(
            f"worker.metrics_port: cannot answer on port {port}: {error.strerror or error}; of several `ingest` and "
            "`worker` on one machine each needs a port of its own (HELIOWATCH_WORKER__METRICS_PORT=…)"
        ) from error
