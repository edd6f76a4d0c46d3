"""`heliowatch fetch` against a stand-in with the archives' layouts, honest and not."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from astropy.table import Table
from parfive import Results

from heliowatch import archives, fetch
from heliowatch.archives import ARCHIVES, Archive
from heliowatch.download import Fetcher, FetchError
from heliowatch.listing import Span, Walk, from_tai, links, periods, to_tai
from observatory.errors import SettingsError
from observatory.instruments import kinds
from observatory.settings import Settings
from tests.client.archive import StandIn, send, serving

Handler = http.server.BaseHTTPRequestHandler
BODY = bytes(range(256)) * 400
DAY = "2026-06-01/2026-06-02"


@pytest.fixture
def server() -> Iterator[StandIn]:
    with serving(StandIn()) as made:
        yield made


@pytest.fixture
def at_home(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Every archive leads to the stand-in."""
    moved = {
        name: dataclasses.replace(archive, root=f"{server.url}/{name}/")
        for name, archive in ARCHIVES.items()
        if isinstance(archive, Archive)
    }
    monkeypatch.setattr(archives, "ARCHIVES", ARCHIVES | moved)
    return server


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    with Fetcher(pause=lambda _: None, tries=4) as made:
        yield made


def kso(*clocks: str, day: str = "20260601") -> dict[str, bytes]:
    folder = f"/kso/{day[:4]}/{day}/processed"
    return {f"{folder}/kanz_halph_fi_{day}_{clock}.fts.gz": BODY + clock.encode() for clock in clocks}


def run(settings: Settings, fetcher: Fetcher, source: str, out: Path, *words: str, **given: object) -> int:
    options = {"time": DAY, "limit": None, "is_dry": False} | given
    return fetch.run_fetch(
        settings,
        source,
        options["time"],
        out,
        list(words),
        options["limit"],
        is_dry=options["is_dry"],
        fetcher=fetcher,
    )


# -- layouts ---------------------------------------------------------------------------------------

LAYOUTS = {
    "kso": ("2026/20260601/processed/", "kanz_halph_fi_20260601_081500.fts.gz", ()),
    "kso-selected": ("2026/", "kanz_halph_fr_20260601_081500.fts.gz", ()),
    "gong": ("202606/20260601/", "20260601081500Mh.fits.fz", ("site=M",)),
    "hmi": ("2026/06/01/", "hmi.M_720s.20260601_081500_TAI.fits", ()),
    "aia-synoptic": ("2026/06/01/H0800/", "AIA20260601_0815_0193.fits", ()),
    "sdo-browse": ("2026/06/01/", "20260601_081500_1024_0193.jpg", ()),
    "helioviewer-aia": ("2026/06/01/193/", "2026_06_01__08_15_00_843__SDO_AIA_AIA_193.jp2", ()),
    "helioviewer-hmi": (
        "2026/06/01/continuum/",
        "2026_06_01__08_15_00_200__SDO_HMI_HMI_continuum.jp2",
        (),
    ),
    "themis": (
        "2026/06/01/gill_themis19/ut08/",
        "20260601_0815_gill_themis19_full.pgm.gz",
        ("site=gill",),
    ),
    "rego": ("2026/06/01/gill_rego-652/ut08/", "20260601_0815_gill_rego-652_6300.pgm.gz", ("site=gill",)),
}


def test_every_listed_archive_has_its_layout_tested() -> None:
    assert set(LAYOUTS) == {name for name, archive in ARCHIVES.items() if isinstance(archive, Archive)}


@pytest.mark.parametrize("source", LAYOUTS)
def test_an_archive_is_walked_down_to_its_frames(
    source: str, at_home: StandIn, settings: Settings, fetcher: Fetcher, tmp_path: Path
) -> None:
    folder, name, words = LAYOUTS[source]
    at_home.files = {
        f"/{source}/{folder}{name}": BODY,
        f"/{source}/{folder}README.txt": b"hello",
        f"/{source}/{folder}{name.replace('0815', '0859').replace('08_15', '08_59')}": b"too late",
        f"/{source}/{folder}{name}.md5": b"sum",
    }
    assert run(settings, fetcher, source, tmp_path, *words, time="2026-06-01T08:00Z/2026-06-01T08:30Z") == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == {name: BODY}
    assert any(kind.claim_name(name) for kind in kinds()), "nobody knows it by its name"
    assert at_home.most_at_once == 1
    assert all("heliowatch/" in agent for agent in at_home.agents)


def test_choices_narrow_what_is_taken(
    at_home: StandIn, settings: Settings, fetcher: Fetcher, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"20260601081500{site}h.fits.fz" for site in "BLMT"]
    at_home.files = {f"/gong/202606/20260601/{name}": BODY for name in names}
    assert run(settings, fetcher, "gong", Path("unused"), is_dry=True) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert run(settings, fetcher, "gong", Path("unused"), "site=L", is_dry=True) == 0
    assert capsys.readouterr().out.splitlines() == [f"{at_home.url}/gong/202606/20260601/{names[1]}"]
    assert not Path("unused").exists()


def test_what_cannot_be_meant_is_refused_with_what_can() -> None:
    with pytest.raises(SettingsError, match="there are: kso"):
        archives.archive_named("nasa")
    with pytest.raises(SettingsError, match="has the choices: channel, size"):
        archives.chosen(ARCHIVES["sdo-browse"], ["colour=red"])
    with pytest.raises(SettingsError, match="512, 1024"):
        archives.chosen(ARCHIVES["sdo-browse"], ["size=../../etc"])


def test_an_open_time_is_refused(settings: Settings, fetcher: Fetcher, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="both sides"):
        run(settings, fetcher, "kso", tmp_path, time="2026-06-01/..")


def test_days_hours_and_years_are_those_that_the_span_touches() -> None:
    span = Span(datetime(2025, 12, 31, 22, 30, tzinfo=UTC), datetime(2026, 1, 1, 0, 30, tzinfo=UTC))
    assert [period.start.hour for period in periods("ut%H/", span)] == [22, 23, 0]
    assert [period.start.day for period in periods("%Y/%m/%d/", span)] == [31, 1]
    assert [period.start.year for period in periods("%Y/", span)] == [2025, 2026]
    assert [f"{period.start:%Y%m}" for period in periods("%Y%m/", span)] == ["202512", "202601"]


def test_atomic_time_is_37_seconds_ahead() -> None:
    moment = datetime(2026, 6, 1, tzinfo=UTC)
    assert (to_tai(moment) - moment).total_seconds() == 37
    assert from_tai(to_tai(moment)) == moment


# -- honest trouble --------------------------------------------------------------------------------


def test_running_it_again_fetches_nothing_twice(
    at_home: StandIn, settings: Settings, fetcher: Fetcher, tmp_path: Path
) -> None:
    at_home.files = kso("080000", "080600")
    assert run(settings, fetcher, "kso", tmp_path, limit=1) == 0
    assert len(list(tmp_path.iterdir())) == 1
    assert run(settings, fetcher, "kso", tmp_path, limit=1) == 0
    assert run(settings, fetcher, "kso", tmp_path) == 0
    assert [at_home.times(path) for path in at_home.files] == [1, 1]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_day_without_a_folder_is_passed_over(
    at_home: StandIn, settings: Settings, fetcher: Fetcher, tmp_path: Path
) -> None:
    at_home.files = kso("080000", day="20260601") | kso("080000", day="20260603")
    assert run(settings, fetcher, "kso", tmp_path / "in", time="2026-06-01/2026-06-04") == 0
    assert len(list((tmp_path / "in").iterdir())) == 2


def test_a_download_cut_off_is_gone_on_with(
    at_home: StandIn, settings: Settings, fetcher: Fetcher, tmp_path: Path
) -> None:
    at_home.files = kso("080000")
    (path,) = at_home.files
    data = at_home.files[path]

    def cut(handler: Handler, number: int) -> bool:
        if number > 1:
            return False
        send(handler, 200, data[:50_000], length=len(data), ETag=_etag(data))
        return True

    at_home.faults[path] = cut
    assert run(settings, fetcher, "kso", tmp_path / "in") == 0
    (file,) = (tmp_path / "in").iterdir()
    assert file.read_bytes() == data
    ranges = [
        headers.get("Range") or headers.get("range") for asked, headers in at_home.asked if asked == path
    ]
    assert ranges == [None, "bytes=50000-"]


def test_a_killed_run_is_gone_on_with_by_the_next(
    at_home: StandIn, settings: Settings, tmp_path: Path
) -> None:
    at_home.files = kso("080000")
    (path,) = at_home.files
    data = at_home.files[path]
    at_home.faults[path] = lambda handler, number: (
        number == 1 and not send(handler, 200, data[:7], length=len(data), ETag=_etag(data))
    )
    folder = tmp_path / "in"
    with Fetcher(tries=1) as impatient:
        assert run(settings, impatient, "kso", folder) == 1
    assert sorted(one.name for one in folder.iterdir())[-1].endswith(".part")
    with Fetcher(tries=1) as second:
        assert run(settings, second, "kso", folder) == 0
    (file,) = folder.iterdir()
    assert file.read_bytes() == data


def test_a_file_that_changed_meanwhile_is_begun_anew(
    at_home: StandIn, settings: Settings, fetcher: Fetcher, tmp_path: Path
) -> None:
    at_home.files = kso("080000")
    (path,) = at_home.files
    old = at_home.files[path]

    def grow(handler: Handler, number: int) -> bool:
        if number > 1:
            return False
        at_home.files[path] = b"new and longer" + old
        send(handler, 200, old[:50_000], length=len(old), ETag=_etag(old))
        return True

    at_home.faults[path] = grow
    assert run(settings, fetcher, "kso", tmp_path / "in") == 0
    (file,) = (tmp_path / "in").iterdir()
    assert file.read_bytes() == b"new and longer" + old


def test_a_busy_archive_is_asked_again_and_then_given_up(
    at_home: StandIn, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at_home.files = kso("080000", "080600")
    first, second = at_home.files
    at_home.faults[first] = lambda handler, number: (
        number < 3 and not send(handler, 503, b"", Retry_After="9")
    )
    at_home.faults[second] = lambda handler, _: not send(handler, 500, b"")
    pauses: list[float] = []
    with Fetcher(pause=pauses.append, tries=3) as fetcher:
        assert run(settings, fetcher, "kso", tmp_path / "in") == 1
    assert pauses[:2] == [9.0, 9.0]
    assert len(list((tmp_path / "in").iterdir())) == 1
    assert "500" in capsys.readouterr().err


# -- dishonest trouble -----------------------------------------------------------------------------


def test_another_server_is_not_followed_to(
    at_home: StandIn, settings: Settings, fetcher: Fetcher, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at_home.files = kso("080000", "080600", "081200")
    first, second, _ = at_home.files
    at_home.faults[first] = lambda handler, _: not send(handler, 302, b"", Location="http://10.0.0.1/secret")
    at_home.faults[second] = lambda handler, number: (
        number == 1 and not send(handler, 301, b"", Location=f"{second}?again")
    )
    assert run(settings, fetcher, "kso", tmp_path / "in") == 1
    assert len(list((tmp_path / "in").iterdir())) == 2
    assert "10.0.0.1" in capsys.readouterr().err


def test_a_page_that_is_no_listing_is_told(
    at_home: StandIn, settings: Settings, fetcher: Fetcher, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at_home.faults["/kso/2026/20260601/processed/"] = lambda handler, _: (
        not send(handler, 200, b"<html><body>We have moved!</body></html>")
    )
    assert run(settings, fetcher, "kso", tmp_path) == 1
    assert "no listing" in capsys.readouterr().err


def test_a_listing_cut_off_is_used_and_told(
    at_home: StandIn, settings: Settings, fetcher: Fetcher, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at_home.files = kso("080000", "080600")
    folder = "/kso/2026/20260601/processed/"
    whole = at_home.listing(folder)
    assert whole is not None
    half = whole[: whole.index("080600")].encode()
    at_home.faults[folder] = lambda handler, _: not send(handler, 200, half)
    assert run(settings, fetcher, "kso", tmp_path / "in") == 1
    assert len(list((tmp_path / "in").iterdir())) == 1
    assert "cut off" in capsys.readouterr().err


def test_links_out_of_the_folder_are_left_alone() -> None:
    page = """<a href="../up.fts.gz"> <a href='/etc/passwd'> <a href="http://elsewhere/x.fts.gz"> <a href=plain.gz>
    <a HREF="./here.gz"> <a href="a%2Fb.gz"> <a href="%2e%2e/b.gz"> <a href="javascript:alert(1)"> <a href="?C=N">
    <a href="//evil/x.gz"> <a href="http://[broken"> <a href="sub/"> <a href="http://host/f/whole.gz">
    <a href="x&amp;y.gz"> <a href="sub/deep.gz">"""
    assert [name for name, _ in links(page, "http://host/f/")] == [
        "plain.gz",
        "here.gz",
        "sub/",
        "whole.gz",
        "x&y.gz",
    ]


def test_a_page_in_place_of_a_file_is_no_file(
    at_home: StandIn, settings: Settings, fetcher: Fetcher, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at_home.files = kso("080000")
    (path,) = at_home.files
    at_home.faults[path] = lambda handler, _: (
        not send(handler, 200, b"<html>log in</html>", Content_Type="text/html")
    )
    assert run(settings, fetcher, "kso", tmp_path / "in") == 1
    assert list((tmp_path / "in").iterdir()) == []
    assert "page in place" in capsys.readouterr().err


def test_what_is_larger_than_the_limit_is_not_fetched(server: StandIn, tmp_path: Path) -> None:
    server.files = {"/f.gz": BODY}
    with Fetcher(max_bytes=1000) as fetcher, pytest.raises(FetchError, match="more than 1,000"):
        fetcher.file(f"{server.url}/f.gz", tmp_path / "f.gz")
    assert not (tmp_path / "f.gz").exists()


def test_robots_are_asked_first_and_obeyed(
    at_home: StandIn, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at_home.files = kso("080000") | {"/robots.txt": b"User-agent: *\nDisallow: /kso/\nCrawl-delay: 2\n"}
    pauses: list[float] = []
    with Fetcher(pause=pauses.append) as fetcher:
        assert run(settings, fetcher, "kso", tmp_path) == 1
        assert "robots.txt" in capsys.readouterr().err
        assert [path for path, _ in at_home.asked] == ["/robots.txt"]
        fetcher.listing(f"{at_home.url}/other/")
    assert pauses == [2.0]


def test_a_run_reads_a_bounded_number_of_listings(
    at_home: StandIn, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Fetcher(max_pages=4) as fetcher:
        assert run(settings, fetcher, "kso", tmp_path, time="1990-01-01/2026-01-01") == 1
    assert len(at_home.asked) == 5  # robots.txt is one
    assert "too many folders" in capsys.readouterr().err


def test_a_hundred_thousand_names_are_read_in_seconds() -> None:
    names = (f"{n // 3600:02}{n // 60 % 60:02}{n % 60:02}" for n in range(50_000))
    rows = "".join(
        f'<tr><td><a href="kanz_halph_f{kind}_20260601_{clock}.fts.gz">kanz_halph_f..</a></td><td>2.9M</td></tr>\n'
        for clock in names
        for kind in "ir"
    )
    page = f"<html>{rows}</html>"
    span = Span(datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 6, 1, 12, tzinfo=UTC))
    begun = time.process_time()
    found = list(Walk(ARCHIVES["kso"], {}, span, lambda _: page))
    assert time.process_time() - begun < 6
    assert len(found) == 2 * 12 * 3600
    assert found == sorted(found, key=lambda file: file.time)


# -- through sunpy ---------------------------------------------------------------------------------


def test_without_sunpy_its_archives_say_how_to_get_it(
    settings: Settings, fetcher: Fetcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sunpy.net", None)
    with pytest.raises(SettingsError, match=r"pip install 'sunpy\[net\]"):
        run(settings, fetcher, "aia", tmp_path)


class Observatory:
    """Stands for the Virtual Solar Observatory, which cannot be reached from a test."""

    def __init__(self) -> None:
        self.query: tuple[object, ...] = ()

    def search(self, *query: object) -> list[Table]:
        self.query = query
        return [Table({"fileid": ["aia__lev1:193:1", "aia__lev1:193:2", "aia__lev1:193:3"]})]

    def fetch(self, table: Table, path: str, **_: object) -> Results:
        results = Results()
        for row in table[:-1]:
            file = Path(path.format(file=f"aia_{row['fileid'][-1]}.fits"))
            file.write_bytes(BODY)
            results.append(path=str(file), url="http://vso/")
        results.add_error("x", "http://vso/x", OSError("no answer"))
        return results


def test_sunpy_fetches_beside_and_whole_files_are_moved_in(
    settings: Settings,
    fetcher: Fetcher,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import sunpy.net

    vso = Observatory()
    monkeypatch.setattr(sunpy.net, "Fido", vso)
    assert run(settings, fetcher, "aia", tmp_path, "channel=304", limit=2) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["aia_1.fits"]
    said = capsys.readouterr()
    assert said.out.splitlines() == [str(tmp_path / "aia_1.fits")]
    assert "no answer" in said.err
    assert "there are more" in said.err
    assert any("304" in repr(one) for one in vso.query)
    assert run(settings, fetcher, "hmi-vso", tmp_path, is_dry=True) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def _etag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()[:16]}"'
