"""What Prometheus is told: gauges from the database, and this process's own counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from observatory.errors import StorageUnavailableError
from observatory.instruments import kinds
from observatory.storage import alert_catalogue, catalogue, model_overview, outbox, queues, workers
from observatory.storage.frames import Priority
from observatory.storage.queues import Backlog
from observatory.storage.session import Database
from service.remembered import Remembered

Clock = Callable[[], datetime]
Shares = Callable[[], list[tuple[str, str, float]]]
"""Asks the ledger for instrument, state and share, 0 to 1."""


def utc_now() -> datetime:
    """Time now, aware."""
    return datetime.now(UTC)


class DatabaseCollector(Collector):
    """Gauges computed at every scrape; they are true however many processes there are."""

    def __init__(
        self, db: Database, silence_s: float, clock: Clock = utc_now, *, shares: Shares | None = None
    ) -> None:
        self._db = db
        self._silence_s = silence_s
        self._clock = clock
        self._counts = Remembered(lambda: catalogue.counts_by_instrument(db))
        self._shares = Remembered(shares or list)
        self._reprocessing = Remembered(lambda: queues.of_reprocessing(db))
        self._watched = Remembered(lambda: model_overview.ratios(db, silence_s, clock()))

    def collect(self) -> Iterator[Metric]:
        """Ask the database; when it cannot be asked, say just that."""
        reachable = GaugeMetricFamily("heliowatch_database_reachable", "1 when the database can be asked")
        try:
            families = [
                *self._queue(),
                self._last_frame(),
                self._models(),
                *self._watched_models(),
                self._frames(),
                self._coverage(),
                *self._alerts(),
            ]
        except StorageUnavailableError:
            reachable.add_metric([], 0)
            yield reachable
            return
        reachable.add_metric([], 1)
        yield reachable
        yield from families

    def _queue(self) -> list[Metric]:
        count = GaugeMetricFamily(
            "heliowatch_queue_tasks",
            "Frames, sets or parts of them that wait to be claimed",
            labels=["queue"],
        )
        age = GaugeMetricFamily(
            "heliowatch_queue_oldest_task_age_seconds", "How long the oldest of them waits", labels=["queue"]
        )
        now = self._clock()
        found = self.backlogs()
        families = {kind.family for kind in kinds()} | {item.family for item in found if item.family}
        empty = {f"{family}.{priority}": (0, 0.0) for family in sorted(families) for priority in Priority}
        waiting = {item.queue: (item.waiting, item.age_s(now)) for item in found}
        for queue, (number, age_s) in (empty | waiting).items():
            count.add_metric([queue], number)
            age.add_metric([queue], age_s)
        return [count, age]

    def backlogs(self) -> list[Backlog]:
        """What waits on each queue of frames that is not empty; of composites, nights, cut-outs, what is done again."""
        asked = [
            queues.of_composites(self._db),
            queues.of_nights(self._db, self._clock()),
            queues.of_cutouts(self._db),
        ]
        return [*queues.of_frames(self._db), *asked, self._reprocessing.get()]

    def _last_frame(self) -> Metric:
        metric = GaugeMetricFamily(
            "heliowatch_last_frame_timestamp_seconds",
            "Time of the newest frame; when it came where it is dated later than that",
            labels=["instrument"],
        )
        names = [name for name, _ in catalogue.instruments_seen(self._db)]
        for name, moment in catalogue.newest_moments(self._db, names, self._clock()).items():
            metric.add_metric([name], moment.timestamp())
        return metric

    def _models(self) -> Metric:
        metric = GaugeMetricFamily(
            "heliowatch_model_info", "Workers that run a model", labels=["model", "version", "provider"]
        )
        running: Counter[tuple[str, str, str]] = Counter()
        for worker in workers.alive(self._db, self._clock(), self._silence_s):
            for model in worker["facts"].get("models", ()):
                name, version, provider = (str(model.get(key, "")) for key in ("name", "version", "provider"))
                running[name, version, provider] += 1
        for labels, count in sorted(running.items()):
            metric.add_metric(labels, count)
        return metric

    def _watched_models(self) -> list[Metric]:
        """What was found of the models that run: the newest drift, golden frames, a candidate's agreement."""
        drift = GaugeMetricFamily(
            "heliowatch_model_drift_ratio",
            "Largest Kolmogorov-Smirnov statistic between a model's first answers and its newest, 0 to 1",
            labels=["model"],
        )
        golden = GaugeMetricFamily(
            "heliowatch_model_golden_ratio",
            "Golden frames that a model answers rightly, 0 to 1",
            labels=["model"],
        )
        shadow = GaugeMetricFamily(
            "heliowatch_model_shadow_agreement_ratio",
            "Frames of which a candidate decides as the live model does, 0 to 1",
            labels=["model"],
        )
        for name, ratio in self._watched.get().drift.items():
            drift.add_metric([name], ratio)
        for name, ratio in self._watched.get().golden.items():
            golden.add_metric([name], ratio)
        for name, ratio in self._watched.get().shadow.items():
            shadow.add_metric([name], ratio)
        return [drift, golden, shadow]

    def _frames(self) -> Metric:
        metric = GaugeMetricFamily(
            "heliowatch_frames", "Frames in the database", labels=["instrument", "status"]
        )
        for instrument, status, count in self._counts.get():
            metric.add_metric([instrument or "unknown", status], count)
        return metric

    def _alerts(self) -> list[Metric]:
        firing = GaugeMetricFamily("heliowatch_alerts_firing", "Alerts that fire now", labels=["severity"])
        for severity, number in alert_catalogue.firing(self._db).items():
            firing.add_metric([severity], number)
        sent = CounterMetricFamily(
            "heliowatch_notifications",
            "Attempts to send notifications (sent, retried, failed), and those that nobody was to have "
            "(silenced, cancelled)",
            labels=["channel", "outcome"],
        )
        for channel, outcome, number in outbox.tallies(self._db):
            sent.add_metric([channel, outcome], number)
        waiting = GaugeMetricFamily(
            "heliowatch_notifications_overdue", "Notifications that are to be sent now", labels=["channel"]
        )
        age = GaugeMetricFamily(
            "heliowatch_notifications_oldest_age_seconds",
            "How long the oldest of them is overdue",
            labels=["channel"],
        )
        for channel, (number, age_s) in outbox.backlog(self._db, self._clock()).items():
            waiting.add_metric([channel], number)
            age.add_metric([channel], age_s)
        return [firing, sent, waiting, age]

    def _coverage(self) -> Metric:
        metric = GaugeMetricFamily(
            "heliowatch_coverage_ratio",
            "Part of the frames expected in the last day that is received, usable or missing; part of all "
            "that is excused",
            labels=["instrument", "state"],
        )
        for instrument, state, share in self._shares.get():
            metric.add_metric([instrument, state], share)
        return metric


class _Together:
    """The database's gauges, then those of this process that they do not already tell."""

    def __init__(self, collector: DatabaseCollector) -> None:
        self._collector = collector

    def collect(self) -> Iterator[Metric]:
        told = set()
        for metric in self._collector.collect():
            told.add(metric.name)
            yield metric
        for metric in REGISTRY.collect():
            if metric.name not in told:
                yield metric


def exposition(collector: DatabaseCollector, accept: str) -> tuple[bytes, str]:
    """Text for a scrape, and its content type."""
    encode, content_type = choose_encoder(accept)
    return encode(_Together(collector)), content_type
