"""What a client asks for, read as strictly as HAPI demands it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from fastapi import Request

from observatory.storage.series import Column, DataSet
from service.hapi.answers import HapiError
from service.hapi.names import TIME
from service.hapi.times import parse_time

FORMATS = ("csv", "binary", "json")
_OLD_NAMES = {"id": "dataset", "time.min": "start", "time.max": "stop"}  # those of HAPI 2, still accepted
_TIME_WORDS = (
    "UTC as 2026-06-01T08:00:00.000Z or 2026-152T08:00:00.000Z, the year 0001 to 9999; "
    "what is left out at the end counts as the smallest"
)


@dataclass(frozen=True)
class DataRequest:
    """A range of some columns of a data set."""

    data_set: DataSet
    columns: Sequence[Column]
    start: datetime
    stop: datetime
    form: str
    has_header: bool


def given(request: Request, allowed: Sequence[str]) -> dict[str, str]:
    """Parameters of a request, by their names of HAPI 3, each given once.

    Raises
    ------
    HapiError
        1401 for one that is not allowed here, 1400 for one that is there twice.
    """
    found: dict[str, str] = {}
    for written, value in request.query_params.multi_items():
        name = _OLD_NAMES.get(written, written)
        if name not in allowed:
            names = ", ".join(allowed)
            raise HapiError(1401, f"parameters here: {names}" if names else "there are no parameters here")
        if name in found:
            raise HapiError(1400, f"{name} is given twice")
        found[name] = value
    return found


def read_data_set(words: Mapping[str, str], known: Mapping[str, DataSet]) -> DataSet:
    """The data set that is named.

    Raises
    ------
    HapiError
        1406 when there is none of that name.
    """
    if "dataset" not in words:
        raise HapiError(1400, "dataset is needed; /hapi/catalog lists what there is")
    found = known.get(words["dataset"])
    if found is None:
        raise HapiError(1406, "/hapi/catalog lists what there is")
    return found


def read_columns(words: Mapping[str, str], data_set: DataSet) -> list[Column]:
    """The columns that are asked for, without the time, which is always there.

    Raises
    ------
    HapiError
        1407 for an unknown one, 1411 for another order than that of `info`, or one twice.
    """
    columns = data_set.series.columns
    if not words.get("parameters"):
        return list(columns)
    order = [TIME, *(column.name for column in columns)]
    places = []
    for name in words["parameters"].split(","):
        if name not in order:
            raise HapiError(1407, f"parameters of this dataset: {', '.join(order)}")
        places.append(order.index(name))
    if any(later <= sooner for sooner, later in pairwise(places)):
        raise HapiError(1411, f"the order is {', '.join(order)}, each at most once")
    return [columns[place - 1] for place in places if place > 0]


def read_data_request(request: Request, known: Mapping[str, DataSet]) -> DataRequest:
    """Read the parameters of ``data``.

    Raises
    ------
    HapiError
        Of the code that HAPI has for what is wrong.
    """
    words = given(request, ("dataset", "start", "stop", "parameters", "include", "format"))
    data_set = read_data_set(words, known)
    columns = read_columns(words, data_set)
    start = _time(words, "start", 1402)
    stop = _time(words, "stop", 1403)
    if start >= stop:
        raise HapiError(1404, "start is included, stop is not")
    form = words.get("format", "csv")
    if form not in FORMATS:
        raise HapiError(1409, f"format is one of {', '.join(FORMATS)}")
    if words.get("include", "header") != "header":
        raise HapiError(1410, "include is header, or left out")
    return DataRequest(data_set, columns, start, stop, form, "include" in words)


def _time(words: Mapping[str, str], name: str, code: int) -> datetime:
    if name not in words:
        raise HapiError(code, f"{name} is needed: {_TIME_WORDS}")
    try:
        return parse_time(words[name])
    except ValueError as error:
        raise HapiError(code, f"{name} is {_TIME_WORDS}") from error


def check_references(words: Mapping[str, Any]) -> None:
    """Refuse what ``resolve_references`` cannot be; there are no references in our answers."""
    if words.get("resolve_references", "true") not in ("true", "false"):
        raise HapiError(1412, "resolve_references is true or false")
