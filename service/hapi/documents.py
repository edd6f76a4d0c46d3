"""The JSON documents that tell what there is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from observatory.service_settings import PublisherSettings
from observatory.storage.series import Column, DataSet, Kind
from service.hapi.answers import envelope
from service.hapi.names import TIME, name_of
from service.hapi.requests import FORMATS
from service.hapi.times import LAST, LENGTH, write_span, write_time

FILLS = {Kind.DOUBLE: "NaN", Kind.INTEGER: "-1", Kind.STRING: ""}
_INSTANT = timedelta(microseconds=1)
_ONE_INSTANT = (
    "Times are starts of exposures. Where several frames have the same time, the one received last is given; "
    "all of them are under /api/v1/frames. Frames without a time are left out. In JSON a missing number of "
    "type double is null."
)


def about(publisher: PublisherSettings) -> dict[str, Any]:
    """Who serves what."""
    return envelope() | {
        "id": publisher.authority,
        "title": publisher.title,
        "contact": publisher.contact,
        "description": "Quality of the frames of solar and auroral observatories, causes of degradation, "
        "areas of regions on the Sun, latency of the analysis.",
    }


def capabilities() -> dict[str, Any]:
    """What this server can do."""
    return envelope() | {"outputFormats": list(FORMATS), "catalogDepthOptions": ["dataset", "all"]}


def catalog(data_sets: Iterable[DataSet], publisher: PublisherSettings, *, is_deep: bool) -> dict[str, Any]:
    """Every data set, with all that is known of it when that is wanted."""
    entries = []
    for one in data_sets:
        entry: dict[str, Any] = {"id": name_of(one), "title": f"{one.instrument}: {one.series.title}"}
        if is_deep:
            entry["info"] = _described(one, one.series.columns, publisher)
        entries.append(entry)
    return envelope() | {"catalog": entries}


def info(
    data_set: DataSet,
    columns: Sequence[Column],
    publisher: PublisherSettings,
    *,
    code: int = 1200,
    form: str | None = None,
) -> dict[str, Any]:
    """One data set, or what comes before its data."""
    head = envelope(code)
    if form is not None:
        head["format"] = form
    return head | _described(data_set, columns, publisher)


def _described(data_set: DataSet, columns: Sequence[Column], publisher: PublisherSettings) -> dict[str, Any]:
    # The first instant after the last record: a range up to it holds everything.
    stop = write_time(data_set.last if data_set.last >= LAST else data_set.last + _INSTANT)
    told: dict[str, Any] = {
        "startDate": write_time(data_set.first),
        "stopDate": stop,
        "timeStampLocation": "begin",
    }
    if data_set.cadence_s:
        told["cadence"] = write_span(data_set.cadence_s)
    return told | {
        "sampleStartDate": write_time(data_set.sample_start),
        "sampleStopDate": stop,
        "description": data_set.series.description,
        "note": _ONE_INSTANT,
        "contact": publisher.contact,
        "x_instrument": data_set.instrument,
        "parameters": [_time(), *(_parameter(column) for column in columns)],
    }


def _time() -> dict[str, Any]:
    return {
        "name": TIME,
        "type": "isotime",
        "length": LENGTH,
        "units": "UTC",
        "fill": None,
        "description": "start of the exposure",
    }


def _parameter(column: Column) -> dict[str, Any]:
    told: dict[str, Any] = {"name": column.name, "type": column.kind.value}
    if column.length is not None:
        told["length"] = column.length
    return told | {
        "units": column.units,
        "fill": FILLS[column.kind] if column.may_be_missing else None,
        "description": column.description,
        "label": column.name.replace("_", " "),
    }
