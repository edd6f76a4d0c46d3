"""The client that Fido finds: searches a Heliowatch server and fetches its frames."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import astropy.units as u
import numpy as np
from parfive import Results
from sunpy.net import Fido
from sunpy.net import attrs as a
from sunpy.net.attr import AttrMeta, and_
from sunpy.net.base_client import BaseClient, QueryResponseTable, convert_row_to_table
from sunpy.net.vso import VSOClient
from sunpy.util.parfive_helpers import Downloader
from yarl import URL

from heliowatch_fido import attrs as ours
from heliowatch_fido import server, tables
from heliowatch_fido.errors import HeliowatchError, RefusedError
from heliowatch_fido.files import distinct_names, numbered, safe_name, sha256_of, stem, wavelength_word
from heliowatch_fido.names import CAUSES, INSTRUMENTS, PRODUCTS, STATUSES
from heliowatch_fido.spans import closed_span
from heliowatch_fido.transport import Connection

_SUFFIXES = {"region-map": ".png", "enhanced": ".fits"}
_OURS = (ours.Server, ours.Quality, ours.Cause, ours.Status, ours.Product)
_SHA256 = re.compile(r'"([0-9a-f]{64})"')
_UNDERSTOOD = (a.Time, a.Instrument, a.Wavelength, *_OURS)
_MOST_ROWS = 100_000
_COLUMNS: dict[str, str | u.UnitBase] = {
    "Start Time": "time",
    "Instrument": "str",
    "Source": "str",
    "Provider": "str",
    "Wavelength": u.AA,
    "Quality": "float",
    "Degraded": "bool",
    "Causes": "str",
    "Status": "str",
    "Size": u.Mbyte,
    "File": "str",
    "ID": "int",
    "sha256": "str",
    "url": "str",
    "preview": "str",
}


class HeliowatchResponse(QueryResponseTable):
    """Frames found, oldest first."""

    hide_keys = ["sha256", "url", "preview"]
    size_column = "Size"


class HeliowatchClient(BaseClient):
    """Frames of a Heliowatch server, by time, instrument, wavelength, quality and cause.

    Which server: ``a.heliowatch.Server``, else `heliowatch_fido.configure`, else the environment variable
    ``HELIOWATCH_SERVER``.

    Examples
    --------
    >>> import heliowatch_fido
    >>> from sunpy.net import Fido, attrs as a
    >>> Fido.search(a.Time("2026-06-01", "2026-06-02"), a.Instrument("kso-halpha"),
    ...             a.heliowatch.Server("http://127.0.0.1:8000"))  # doctest: +SKIP
    """

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._product = "original"

    @property
    def info_url(self) -> str:
        """Address of the server that was asked."""
        return "no server asked yet" if self._connection is None else self._connection.url

    @classmethod
    def _attrs_module(cls) -> tuple[str, str]:
        return "heliowatch", "heliowatch_fido.attrs"

    @classmethod
    def register_values(cls) -> dict[type, list[tuple[str, str]]]:
        """Names for completion; a server may know more instruments."""
        return {
            a.Instrument: list(INSTRUMENTS.items()),
            ours.Cause: [(name, "") for name in CAUSES],
            ours.Status: [(name, "") for name in STATUSES],
            ours.Product: list(PRODUCTS.items()),
        }

    @classmethod
    def _can_handle_query(cls, *query: Any) -> bool:
        """Whether a search is meant for us: it names an instrument of ours, or has an attribute of ours."""
        if not all(isinstance(one, _UNDERSTOOD) for one in query):
            return False
        if not any(isinstance(one, a.Time) for one in query):
            return False
        if any(isinstance(one, _OURS) for one in query):
            return True
        return any(isinstance(one, a.Instrument) and _is_ours(one.value) for one in query)

    def search(self, *query: Any) -> HeliowatchResponse:
        """Find frames.

        Raises
        ------
        NoServerError
            When nobody said which server to ask.
        RefusedError
            When the server says no; it carries the server's words.
        HeliowatchError
            When more frames are found than a table should hold, or no such product is fetched.
        """
        given = {type(one): one for one in _flat(query)}
        named = given.get(ours.Server)
        self._connection = Connection(*server.server_and_key(None if named is None else named.value))
        self._product = _product(given)
        asked = _filters(given)
        if a.Instrument in given:
            asked["instrument"] = self._spelt(str(given[a.Instrument].value))
        items = list(self._connection.items("frames", asked, _MOST_ROWS + 1))
        if len(items) > _MOST_ROWS:
            raise HeliowatchError(
                f"more than {_MOST_ROWS} frames: search for a shorter time or a better quality"
            )
        rows = [self._row(item) for item in items if _is_wanted(item, given)]
        found = HeliowatchResponse(tables.table(rows, _COLUMNS), client=self)
        return _nearest(found, given[a.Time]) if a.Time in given else found

    def _spelt(self, name: str) -> str:
        """An instrument's name as the server writes it, which minds capitals; sunpy does not."""
        assert self._connection is not None
        if name.lower() in INSTRUMENTS:
            return name.lower()
        known = [item["name"] for item in self._connection.json("instruments")["items"]]
        alike = [word for word in known if word.lower() == name.lower()]
        return name if name in alike or not alike else alike[0]

    def _row(self, item: dict[str, Any]) -> dict[str, Any]:
        assert self._connection is not None
        links = item["links"]
        link = (
            links.get("data") if self._product == "original" else links.get(self._product.replace("-", "_"))
        )
        if link is None and self._product == "original":
            link = f"{links['self']}/data"
        flat = tables.frame_row(item)
        return {
            "Start Time": item["date_obs"],
            "Instrument": item["instrument"],
            "Source": item["observatory"],
            "Provider": "Heliowatch",
            "Wavelength": None if item["wavelength_nm"] is None else round(item["wavelength_nm"] * 10, 6),
            "Quality": flat["score"],
            "Degraded": flat["is_degraded"],
            "Causes": flat["causes"],
            "Status": item["status"],
            "Size": None if item["bytes"] is None else item["bytes"] / 1e6,
            "File": item["file_name"],
            "ID": item["id"],
            "sha256": item["sha256"] or "",
            "url": self._connection.address(link) if link else "",
            "preview": self._connection.address(links["preview"]) if links.get("preview") else "",
        }

    @convert_row_to_table
    def fetch(
        self,
        query_results: HeliowatchResponse,
        *,
        path: str | Path | None = None,
        downloader: Downloader | None = None,
        wait: bool = True,
        progress: bool = True,
        overwrite: bool | str = False,
        **_: Any,
    ) -> Results | None:
        """Download what was found; originals are checked against their sha256.

        A file of the same name that is there and holds something else stays: the new one gets the frame's
        number. With ``overwrite`` it does as parfive does.
        Where a server keeps its originals to itself, the previews are fetched, with a warning.
        """
        is_own = downloader is None
        downloader = downloader or Downloader(progress=progress, overwrite=overwrite)
        failed = self._enqueue(query_results, Path(path) if path is not None else None, downloader)
        if not is_own and not wait:
            return failed
        results = downloader.download()
        results._errors += failed.errors  # as Fido does
        return results

    def _enqueue(self, found: HeliowatchResponse, path: Path | None, downloader: Downloader) -> Results:
        failed = Results()
        product, column = self._product, "url"
        if product == "original" and len(found) and not self._serves_originals(found):
            warnings.warn(f"{self.info_url} does not serve original files: fetching previews", stacklevel=4)
            product = column = "preview"
        is_original = product == "original"
        names = self._names(found, product)
        asked = set()
        for row, name in zip(found, names, strict=True):
            address = str(row[column])
            target = _target(path, row, name)
            if not address:
                failed.add_error(
                    str(target), address, HeliowatchError(f"frame {row['ID']} has no such product")
                )
            elif (is_original and row["sha256"] in asked) or address in asked:
                continue  # one file of several frames
            else:
                asked.add(row["sha256"] if is_original else address)
                digest = str(row["sha256"]) if is_original else ""
                if target.exists() and not downloader.config.overwrite:
                    digest = digest or self._digest(address)
                    target = _apart(target, digest, row["ID"])
                self._enqueue_one(downloader, address, target, digest)
        return failed

    def _digest(self, address: str) -> str:
        """Sum of what is at an address, which is its ETag; nothing where the server tells none."""
        assert self._connection is not None
        try:
            with self._connection.open(address, headers={"Range": "bytes=0-0"}) as answer:
                found = _SHA256.fullmatch(answer.headers.get("ETag") or "")
        except HeliowatchError:
            return ""  # the download will say why
        return "" if found is None else found[1]

    def _enqueue_one(self, downloader: Downloader, address: str, target: Path, digest: str) -> None:
        assert self._connection is not None
        # A file in several pieces is a request for each: servers bound how many one may make a minute.
        given: dict[str, Any] = {"max_splits": 1}
        if digest:
            given["checksum"] = f"sha-256={digest}"
        if self._connection.key:
            given |= _showing(self._connection)
        downloader.enqueue_file(address, filename=target, **given)

    def _names(self, found: HeliowatchResponse, product: str) -> list[str]:
        """File names, no two alike but of the same bytes."""
        names = [safe_name(str(row["File"]), f"frame-{row['ID']}") for row in found]
        if product != "original":
            suffix = _SUFFIXES.get(product, ".jpg")
            return distinct_names([f"{stem(name)}.{product}{suffix}" for name in names], found["ID"])
        files = dict(zip([str(word) for word in found["sha256"]], names, strict=True))
        told = distinct_names(list(files.values()), _first_ids(found, files))
        by_sum = dict(zip(files, told, strict=True))
        return [by_sum[str(row["sha256"])] for row in found]

    def _serves_originals(self, found: HeliowatchResponse) -> bool:
        assert self._connection is not None
        try:
            with self._connection.open(str(found[0]["url"]), headers={"Range": "bytes=0-0"}):
                return True
        except RefusedError as error:
            # One file that is gone is that file's matter, and told as such.
            return error.kind != "originals-not-served"


def _showing(connection: Connection) -> dict[str, Any]:
    """What lets aiohttp show our key, to our server alone.

    parfive takes no headers for one file alone, and those of its session would go to every server.
    """
    if not hasattr(aiohttp, "ClientHandlerType"):  # aiohttp before 3.12; the server takes a key as a password
        return {"auth": aiohttp.BasicAuth("heliowatch", connection.key or "")}

    own = URL(connection.url).origin()

    async def show(request: Any, handler: Any) -> Any:
        if request.url.origin() == own:  # a redirect may lead elsewhere
            request.headers["Authorization"] = f"Bearer {connection.key}"
        return await handler(request)

    return {"middlewares": (show,)}


def _first_ids(found: HeliowatchResponse, sums: dict[str, str]) -> list[int]:
    first: dict[str, int] = {}
    for row in found:
        first.setdefault(str(row["sha256"]), int(row["ID"]))
    return [first[digest] for digest in sums]


def _target(path: Path | None, row: Any, name: str) -> Path:
    from sunpy import config

    template = path if path is not None else Path(config.get("downloads", "download_dir")) / "{file}"
    if "{file}" not in str(template):
        template = template / "{file}"
    words = {
        key: safe_name(value, "_") if isinstance(value, str) else value
        for key, value in row.response_block_map.items()
    }
    return Path(str(template.expanduser()).format(**words | {"file": name}))


def _apart(target: Path, digest: str, number: int) -> Path:
    """Where a file goes whose name is taken: beside one of other bytes, over its own."""
    is_other = bool(digest) and target.is_file() and sha256_of(target) != digest
    return target.with_name(numbered(target.name, number)) if is_other else target


def _product(given: dict[type, Any]) -> str:
    """What is fetched of each frame.

    Raises
    ------
    HeliowatchError
        When it is something that the list of frames does not lead to.
    """
    wanted = str(given[ours.Product].value) if ours.Product in given else "original"
    if wanted not in PRODUCTS:
        known = ", ".join(PRODUCTS)
        raise HeliowatchError(
            f"Product({wanted!r}): Fido fetches {known}; anything else of a frame by Client.download(ID, product=…)"
        )
    return wanted


def _flat(query: Sequence[Any]) -> Sequence[Any]:
    """Attributes of a search, also of one whose attributes were joined by ``&``."""
    joined = and_(*query)
    return getattr(joined, "attrs", [joined])


def _filters(given: dict[type, Any]) -> dict[str, Any]:
    """What the server is asked for, but for the instrument."""
    quality = given.get(ours.Quality)
    asked: dict[str, Any] = {"order": "asc", "status": "done"}
    if ours.Status in given:
        asked["status"] = given[ours.Status].value
    if a.Time in given:
        asked["time"] = closed_span(given[a.Time].start, given[a.Time].end)
    if ours.Cause in given:
        asked["cause"] = given[ours.Cause].value
    if quality is not None:
        asked |= {"quality_min": quality.min, "quality_max": quality.max}
    waves = given.get(a.Wavelength)
    if waves is not None and waves.min == waves.max:
        asked["wavelength"] = wavelength_word(waves.min)
    return asked


def _is_wanted(item: dict[str, Any], given: dict[type, Any]) -> bool:
    """Whether a frame lies in a range of wavelengths, which the server does not know."""
    waves = given.get(a.Wavelength)
    if waves is None or waves.min == waves.max:
        return True
    if item["wavelength_nm"] is None:
        return False
    sides = sorted(side.to_value(u.nm, equivalencies=u.spectral()) for side in (waves.min, waves.max))
    return bool(sides[0] <= item["wavelength_nm"] <= sides[1])


def _nearest(found: HeliowatchResponse, time: a.Time) -> HeliowatchResponse:
    if time.near is None or not len(found):
        return found
    return found[[int(np.argmin(np.abs((found["Start Time"] - time.near).to_value(u.s))))]]


def _is_ours(name: Any) -> bool:
    """Whether an instrument's name is one of ours that no other client of Fido calls its own."""
    word = str(name).lower()
    return word in INSTRUMENTS and word not in _names_of_others()


def _names_of_others() -> set[str]:
    known = AttrMeta._attr_registry[a.Instrument]
    return {
        name.lower()
        for name, client in zip(known.name_long, known.client, strict=True)
        if client != HeliowatchClient.__name__.removesuffix("Client")
    }


def _leave_vso_out() -> None:
    """Keep searches for our instruments from the Virtual Solar Observatory.

    Its client takes every search of general attributes for its own, whatever the instrument, and asks the
    network first; without one, Fido then fails as a whole.
    """
    asks_vso = VSOClient._can_handle_query

    def can_handle(*query: Any) -> bool:
        is_ours = any(isinstance(one, a.Instrument) and _is_ours(one.value) for one in query)
        return not is_ours and asks_vso(*query)

    Fido.registry[VSOClient] = can_handle


_leave_vso_out()
