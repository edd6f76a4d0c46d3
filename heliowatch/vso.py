"""Archives that sunpy searches for us: the Virtual Solar Observatory, through Fido."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from heliowatch.archives import VsoArchive
from heliowatch.fetch import Fetched
from heliowatch.listing import Span
from observatory.errors import HeliowatchError, SettingsError


def fetch_by_sunpy(
    archive: VsoArchive, given: Mapping[str, str], span: Span, folder: Path, most: int, *, is_dry: bool
) -> Fetched:
    """Search and fetch through sunpy, one connection at a time.

    Raises
    ------
    SettingsError
        When sunpy is not installed; it says how.
    HeliowatchError
        When the search fails.
    """
    try:
        from sunpy.net import Fido
    except ImportError as error:
        raise SettingsError(
            f"{archive.name} is searched by sunpy, which is not installed: pip install 'sunpy[net]>=7' "
            f"(archives that need none: see --list) ({error})"
        ) from error
    try:
        found = Fido.search(*_query(archive, given, span))
    except Exception as error:  # sunpy raises whatever its network layers do
        raise HeliowatchError(f"the Virtual Solar Observatory could not be searched: {error}") from error
    table = found[0] if len(found) else []
    done = Fetched(is_more=len(table) > most)
    table = table[:most]
    if is_dry:
        for row in table:
            typer.echo(f"{row['fileid'] if 'fileid' in row.colnames else row}")
        done.new = len(table)
    elif len(table):
        _fetch(Fido, table, folder, done)
    return done


def _query(archive: VsoArchive, given: Mapping[str, str], span: Span) -> list[Any]:
    import astropy.units as u
    from sunpy.net import attrs as a

    values = {name: given.get(name, choice.default) for name, choice in archive.choices.items()}
    query = [
        a.Time(span.start.replace(tzinfo=None), span.end.replace(tzinfo=None)),
        a.Instrument(archive.instrument),
        a.Provider("JSOC"),
        a.Sample(int(values["every"] or 720) * u.s),
    ]
    if values.get("channel"):
        query.append(a.Wavelength(int(values["channel"] or 0) * u.AA))
    if values.get("kind"):
        query.append(a.Physobs(values["kind"]))
    return query


def _fetch(fido: Any, table: Any, folder: Path, done: Fetched) -> None:
    """Fetch into a hidden folder beside, and move what came whole: nobody watches half a file."""
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as hidden:
        results = fido.fetch(table, path=f"{hidden}/{{file}}", max_conn=1, max_splits=1)
        for word in results:
            file = Path(word)
            target = folder / file.name
            if target.exists():
                done.known += 1
                continue
            file.replace(target)
            done.new += 1
            typer.echo(str(target))
    for error in results.errors:
        done.failed.append(str(error.url))
        typer.echo(f"heliowatch: {error.url}: {error.exception}", err=True)
