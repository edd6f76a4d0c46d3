"""A server's frames, quality and regions in a notebook: astropy tables, files and sunpy maps."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import astropy.units as u
from astropy.table import QTable

from heliowatch_fido import stream, tables
from heliowatch_fido.errors import HeliowatchError, UnreachableError
from heliowatch_fido.files import safe_name, wavelength_word
from heliowatch_fido.server import normal, server_and_key
from heliowatch_fido.spans import span
from heliowatch_fido.stream import Event
from heliowatch_fido.transport import Connection

_PIECE = 1 << 18


class Client:
    """One Heliowatch server.

    Parameters
    ----------
    url : str or None
        Its address; default: what `configure` or the environment (``HELIOWATCH_SERVER``) names.
    key : str or None
        Needed where the server does not let everybody read; default: as for ``url``.
    timeout_s : float
        Silence that counts as failure.
    tries : int
        How often a request is made at most while the server is busy (429, 503) or away.

    Raises
    ------
    RefusedError
        By every method, when the server says no; it carries the server's words.
    UnreachableError
        By every method, when the server does not answer.
    """

    def __init__(
        self, url: str | None = None, key: str | None = None, *, timeout_s: float = 30.0, tries: int = 5
    ) -> None:
        found, known_key = server_and_key(url)
        self._connection = Connection(normal(found), key or known_key, timeout_s=timeout_s, tries=tries)
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __repr__(self) -> str:
        return f"<heliowatch_fido.Client of {self._connection.url}>"

    def instruments(self) -> QTable:
        """Instruments that have frames or are configured, with their counts."""
        columns: dict[str, str | u.UnitBase] = {
            "name": "str",
            "family": "str",
            "kind": "str",
            "frames": "int",
            "done": "int",
            "rejected": "int",
            "degraded": "int",
            "last_date_obs": "time",
        }
        return tables.table(self._connection.json("instruments")["items"], columns)

    def frames(
        self,
        time: Any = None,
        instrument: str | None = None,
        wavelength: u.Quantity | str | None = None,
        *,
        quality_min: float | None = None,
        quality_max: float | None = None,
        status: str | None = None,
        cause: str | None = None,
        order: str = "desc",
        limit: int | None = 1000,
        **filters: Any,
    ) -> QTable:
        """Frames, newest first.

        Parameters
        ----------
        time : str, TimeRange or pair
            ``"2026-06-01/2026-06-02"``, END not included; see `heliowatch_fido.spans.span`.
        wavelength : Quantity or str
            With its unit.
        limit : int or None
            At most so many; None: all, page after page.
        **filters
            Any other filter that the server knows, by its name there.
        """
        asked = {
            "time": span(time),
            "instrument": instrument,
            "wavelength": wavelength_word(wavelength),
            "quality_min": quality_min,
            "quality_max": quality_max,
            "status": status,
            "cause": cause,
            "order": order,
        } | filters
        items = self._connection.items("frames", asked, limit)
        return tables.table([tables.frame_row(item) for item in items], tables.FRAME_COLUMNS)

    def frame(self, frame_id: int) -> dict[str, Any]:
        """One frame as the server tells it."""
        return self._connection.json(f"frames/{int(frame_id)}")

    def latest(self, instrument: str) -> dict[str, Any]:
        """The newest finished frame of an instrument, as the server tells it."""
        from urllib.parse import quote

        return self._connection.json(f"latest/{quote(instrument, safe='')}.json")

    def quality(
        self, time: Any = None, instrument: str | None = None, *, bin: str | None = None, limit: int = 10_000
    ) -> QTable:
        """Scores over time, oldest first; with ``bin`` (such as ``5m``) the mean, least and highest of each bin.

        Warns when there are more than ``limit``: then these are the newest.
        """
        asked = {"time": span(time), "instrument": instrument, "bin": bin, "limit": limit}
        said = self._connection.json("quality", asked)
        if said.get("is_truncated"):
            warnings.warn(f"only the newest {limit} points: ask for a shorter time or a bin", stacklevel=2)
        columns = tables.QUALITY_COLUMNS if bin is None else tables.BINNED_COLUMNS
        return tables.table(said["items"], columns)

    def regions(
        self,
        time: Any = None,
        instrument: str | None = None,
        *,
        event_type: str | None = None,
        area_min: str | None = None,
        order: str = "desc",
        limit: int | None = 1000,
        **filters: Any,
    ) -> QTable:
        """Coronal holes and active regions, newest first; arguments as for `frames`."""
        asked = {
            "time": span(time),
            "instrument": instrument,
            "event_type": event_type,
            "area_min": area_min,
            "order": order,
        } | filters
        items = self._connection.items("regions", asked, limit)
        return tables.table([tables.region_row(item) for item in items], tables.REGION_COLUMNS)

    def sky(
        self,
        time: Any = None,
        instrument: str | None = None,
        *,
        sky_class: str | None = None,
        bin: str | None = None,
        limit: int | None = 10_000,
        **filters: Any,
    ) -> QTable:
        """Aurora and cloud over time, newest first, or in bins (such as ``1h``).

        Warns when there are more bins than ``limit``: then these are the newest.

        Parameters
        ----------
        sky_class : str or None
            arc, diffuse, discrete, cloud, moon, clear; aurora for the first three; none for what could
            not be judged.
        """
        asked = {"time": span(time), "instrument": instrument, "sky_class": sky_class} | filters
        if bin is None:
            items = list(self._connection.items("sky", asked, limit))
        else:
            said = self._connection.json("sky", asked | {"bin": bin, "limit": limit or 10_000})
            items = said["items"]
            if said.get("is_truncated"):
                warnings.warn(f"only the newest {len(items)} bins: ask for wider ones", stacklevel=2)
        columns = tables.SKY_COLUMNS if bin is None else tables.BINNED_SKY_COLUMNS
        return tables.table([tables.sky_row(item) for item in items], columns)

    def events(self, instrument: str | None = None, after: int | None = None) -> Iterator[Event]:
        """What happens, as it happens, for ever.

        A stream that breaks is opened again after the last event seen, so that none is missed.

        Parameters
        ----------
        after : int or None
            Number of the last event known (0: all that the server keeps); default: begin now.
        """
        return stream.events(self._connection, instrument, after)

    def download(
        self,
        frame_id: int,
        path: str | Path = ".",
        *,
        product: str = "original",
        overwrite: bool = False,
    ) -> Path:
        """Write a frame's file into a folder and return where it is.

        Parameters
        ----------
        product : str
            ``original``, or the kind of a product such as ``preview``.
        overwrite : bool
            Whether a file of that name is replaced; else it is left when it holds the same bytes, and
            otherwise stands in the way.

        Raises
        ------
        FileExistsError
            When a file of that name has other bytes.
        """
        frame = self.frame(frame_id)
        if product == "original":
            address, digest = f"frames/{int(frame_id)}/data", frame["sha256"]
            name = safe_name(frame["file_name"], f"frame-{frame_id}")
        else:
            found = self._product(frame_id, product)
            address, digest = f"products/{found['id']}/data", found["sha256"]
            suffix = {"image/jpeg": ".jpg", "image/png": ".png"}.get(found["media_type"], ".fits")
            name = f"frame-{frame_id}-{safe_name(product, 'product')}{suffix}"
        target = Path(path) / name
        if target.exists() and not overwrite:
            if _sum_of(target) == digest:
                return target
            raise FileExistsError(
                f"{target} has other bytes than frame {frame_id}: overwrite=True replaces it"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        self._write(address, target, digest)
        return target

    def _product(self, frame_id: int, kind: str) -> dict[str, Any]:
        items = self._connection.json(f"frames/{int(frame_id)}/products")["items"]
        found = next((item for item in items if item["kind"] == kind), None)
        if found is None:
            known = ", ".join(sorted({item["kind"] for item in items})) or "none"
            raise HeliowatchError(f"frame {frame_id} has no product {kind}; it has: {known}")
        return found

    def _write(self, address: str, target: Path, digest: str | None) -> None:
        part = target.with_name(target.name + ".part")
        total = hashlib.sha256()
        try:
            with self._connection.open(address) as answer, part.open("wb") as file:
                while piece := answer.read(_PIECE):
                    total.update(piece)
                    file.write(piece)
            if digest is not None and total.hexdigest() != digest:
                raise UnreachableError(
                    self._connection.url, f"{address} ended early or was changed on its way"
                )
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def map(self, frame_id: int) -> Any:
        """A frame as a `sunpy.map.GenericMap`, from its original file.

        Raises
        ------
        HeliowatchError
            When sunpy's maps are not installed, or the file has no header to make a map of.
        """
        try:
            import sunpy.map
        except ImportError as error:
            raise HeliowatchError(f"maps need more of sunpy: pip install 'sunpy[map]' ({error})") from error
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="heliowatch-")
        folder = Path(self._folder.name) / str(int(frame_id))
        file = self.download(frame_id, folder)
        try:
            made = sunpy.map.Map(file)
        except Exception as error:  # sunpy raises whatever its readers do
            raise HeliowatchError(f"sunpy makes no map of {file.name}: {error}") from error
        return made[0] if isinstance(made, list) else made


def _sum_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
