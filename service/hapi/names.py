"""Names of data sets: the instrument's, a slash, and that of the series."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from observatory.storage.series import DataSet

TIME = "Time"
"""First parameter of every data set; hapiclient joins the answers of long ranges by this name."""

_NEEDS_ESCAPING = re.compile(r"[^A-Za-z0-9._~-]")


def name_of(data_set: DataSet) -> str:
    """Name of a data set, the same for ever.

    Clients put it into addresses as it is. An instrument whose name cannot stand there so (one with
    spaces, say) is written with underscores and six digits of the name's SHA-256, lest two become one.
    """
    instrument = data_set.instrument
    plain = _NEEDS_ESCAPING.sub("_", instrument)
    if plain != instrument:
        plain += "-" + hashlib.sha256(instrument.encode()).hexdigest()[:6]
    return f"{plain}/{data_set.series.name}"


def by_name(data_sets: Iterable[DataSet]) -> dict[str, DataSet]:
    """Data sets by their names."""
    return {name_of(one): one for one in data_sets}
