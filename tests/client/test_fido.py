"""sunpy's own Fido finds and fetches frames of a real server, and other searches stay whose they were."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import astropy.units as u
import heliowatch_fido
import pytest
from astropy.time import Time
from heliowatch_fido import names, server
from heliowatch_fido.files import safe_name, stem
from sunpy.net import Fido
from sunpy.net import attrs as a

from observatory.access import Scope
from observatory.analysis import Cause
from observatory.instruments import instrument_names
from observatory.settings import Settings
from observatory.storage import keys
from observatory.storage.files import ProductFiles
from observatory.storage.frames import Status
from observatory.storage.session import Database
from service.main import create_app
from tests.client.conftest import AIA, GONG, House
from tests.service import photosphere
from tests.service.telescope import Telescope, in_thread, jpeg, on_sqlite

DAY = a.Time("2026-06-01", "2026-06-02")


@pytest.fixture
def chosen(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("HELIOWATCH_SERVER", house.url)
    yield house


@pytest.fixture(autouse=True)
def unconfigured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_chosen", None)
    monkeypatch.setattr(server, "_keys", {})


def one(answer: Any) -> Any:
    assert len(answer) == 1, "another client answered, too"
    return answer[0]


def test_the_names_are_those_of_the_server() -> None:
    assert set(names.INSTRUMENTS) == set(instrument_names())
    assert list(names.CAUSES) == [cause.value for cause in Cause]
    assert list(names.STATUSES) == [status.value for status in Status]


def test_a_search_by_instrument_alone_asks_our_server_alone(chosen: House) -> None:
    found = one(Fido.search(DAY, a.Instrument("kso-halpha")))
    assert len(found) == 12
    assert isinstance(found["Start Time"], Time)
    assert found["Wavelength"].unit == u.AA
    assert found["Wavelength"][0].value == pytest.approx(6562.8)
    assert list(found["Start Time"]) == sorted(found["Start Time"])
    assert "url" not in str(found)


def test_quality_cause_status_and_wavelength_narrow_a_search(house: House) -> None:
    at = a.heliowatch.Server(house.url)
    bad = one(Fido.search(DAY, a.Instrument("kso-halpha"), at, a.heliowatch.Quality(max=0.5)))
    assert len(bad) == 3
    assert set(bad["Causes"]) == {"cloud"}
    assert len(one(Fido.search(DAY, at, a.heliowatch.Cause("cloud")))) == 3
    assert len(one(Fido.search(DAY, at, a.heliowatch.Status("received")))) == 1
    assert list(one(Fido.search(DAY, at, a.Wavelength(171 * u.AA)))["Instrument"]) == ["aia-171"]
    euv = one(Fido.search(DAY, at, a.Wavelength(10 * u.nm, 100 * u.nm)))
    assert list(euv["Instrument"]) == ["aia-171"]


@on_sqlite
def test_a_camera_of_a_station_is_found_however_its_name_is_written(db: Database, settings: Settings) -> None:
    telescope = Telescope(db, ProductFiles(settings.product_dir))
    for name in ("Nordlys-1", "nordlys-2", "NORDLYS-2"):
        telescope.observe(instrument=name)
    with in_thread(create_app(settings, db)) as url:

        def named(name: str) -> set[str]:
            found = one(Fido.search(DAY, a.Instrument(name), a.heliowatch.Server(url)))
            return set(found["Instrument"])

        assert named("Nordlys-1") == named("nordlys-1") == {"Nordlys-1"}
        assert named("NORDLYS-2") == {"NORDLYS-2"}
        assert named("nordlys-2") == {"nordlys-2"}
        assert named("nordlys-3") == set()


def test_the_end_is_included_and_the_nearest_can_be_asked_for(house: House) -> None:
    at = a.heliowatch.Server(house.url)
    moment = "2026-06-01T08:05:00"
    assert len(one(Fido.search(a.Time(moment, moment), at))) == 1
    near = a.Time("2026-06-01", "2026-06-02", near="2026-06-01T08:03:10")
    assert (
        one(Fido.search(near, a.Instrument("kso-halpha"), at))["Start Time"][0].isot[:16]
        == "2026-06-01T08:03"
    )


def test_fetch_brings_the_original_bytes(chosen: House, tmp_path: Path) -> None:
    found = Fido.search(DAY, a.Instrument("gong-halpha") | a.Instrument("aia-171"))
    files = Fido.fetch(found, path=tmp_path / "{instrument}" / "{file}", progress=False)
    assert not files.errors
    assert sorted(Path(file).relative_to(tmp_path).as_posix() for file in files) == [
        f"aia-171/{AIA.name}",
        f"gong-halpha/{GONG.name}",
    ]
    assert {hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files} == {
        hashlib.sha256(path.read_bytes()).hexdigest() for path in (AIA, GONG)
    }


def test_fetch_brings_previews_where_they_are_asked_for(chosen: House, tmp_path: Path) -> None:
    found = Fido.search(DAY, a.Instrument("gong-halpha"), a.heliowatch.Product("preview"))
    (file,) = Fido.fetch(found, path=tmp_path, progress=False)
    assert Path(file).name == "20150807192114Mh.preview.jpg"
    assert Path(file).read_bytes()[:2] == b"\xff\xd8"


def test_fetch_brings_the_enhanced_frame_as_fits(chosen: House, tmp_path: Path) -> None:
    at = datetime(2026, 7, 1, 12, tzinfo=UTC)  # a day of its own: others count what theirs has
    photosphere.with_pictures(chosen.telescope, photosphere.shown(chosen.telescope, date_obs=at))
    asked = a.Instrument("hmi-continuum"), a.heliowatch.Product("enhanced")
    found = Fido.search(a.Time("2026-07-01", "2026-07-02"), *asked)
    (file,) = Fido.fetch(found, path=tmp_path, progress=False)
    assert Path(file).name.endswith(".enhanced.fits")
    assert Path(file).read_bytes() == photosphere.FITS


def test_a_product_that_fido_does_not_fetch_is_refused_with_those_that_it_does(chosen: House) -> None:
    asked = a.Instrument("gong-halpha"), a.heliowatch.Product("compare")
    with pytest.raises(
        heliowatch_fido.HeliowatchError, match=r"original, preview, region-map, enhanced; .*download"
    ):
        Fido.search(DAY, *asked)


def test_names_of_products_keep_what_stands_between_dots() -> None:
    assert (
        stem("hmi.ic_45s.20261121_120600_TAI.2.continuum.fits")
        == "hmi.ic_45s.20261121_120600_TAI.2.continuum"
    )
    assert stem("20150807192114Mh.fits.fz") == "20150807192114Mh"
    assert stem("kanz_halph_fi_20240508_120001.fts.gz") == "kanz_halph_fi_20240508_120001"


def test_a_product_does_not_pass_for_one_of_the_same_name_that_is_there(
    chosen: House, tmp_path: Path
) -> None:
    def fetched(day: int) -> Path:
        asked = a.Instrument("bbso-halpha"), a.heliowatch.Product("preview")
        span = a.Time(f"2026-08-{day:02d}", f"2026-08-{day + 1:02d}")
        (file,) = Fido.fetch(Fido.search(span, *asked), path=tmp_path, progress=False)
        return Path(file)

    for day in (1, 2):
        at = datetime(2026, 8, day, 12, tzinfo=UTC)
        chosen.telescope.observe(
            0.9, date_obs=at, file_name="image.fits", instrument="bbso-halpha", preview=jpeg(40 * day)
        )
    first, second = fetched(1), fetched(2)
    assert first.name == "image.preview.jpg" and second != first
    assert first.read_bytes() != second.read_bytes()
    assert fetched(1) == first, "what is there already keeps its name"


def test_a_file_that_is_gone_is_an_error_of_its_own(chosen: House, tmp_path: Path) -> None:
    found = Fido.search(a.Time("2026-06-01T08:01:00", "2026-06-01T08:01:00"), a.Instrument("kso-halpha"))
    files = Fido.fetch(found, path=tmp_path, progress=False)
    assert not list(files)
    assert len(files.errors) == 1


def test_searches_meant_for_others_are_left_to_them() -> None:
    handles = heliowatch_fido.HeliowatchClient._can_handle_query
    assert not handles(DAY, a.Instrument("AIA"), a.Wavelength(171 * u.AA))
    assert not handles(DAY, a.Instrument("GONG"))
    assert not handles(DAY, a.Instrument("kso-halpha"), a.Level(1))
    assert not handles(a.Instrument("kso-halpha"))
    assert handles(DAY, a.Instrument("kso-halpha"))
    assert handles(DAY, a.Instrument("my-own-camera"), a.heliowatch.Quality(min=0.5))
    clients = {client.__name__ for client, asks in Fido.registry.items() if asks(DAY, a.Instrument("AIA"))}
    assert "VSOClient" in clients
    assert "HeliowatchClient" not in clients


def test_a_search_without_a_server_says_how_to_name_one() -> None:
    with pytest.raises(heliowatch_fido.NoServerError, match="HELIOWATCH_SERVER"):
        Fido.search(DAY, a.Instrument("kso-halpha"))


def test_the_servers_words_reach_the_user(chosen: House) -> None:
    with pytest.raises(heliowatch_fido.RefusedError, match="cloud, thin_cloud"):
        Fido.search(DAY, a.heliowatch.Cause("rain"))


def test_a_key_goes_to_its_own_server_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    heliowatch_fido.configure("http://one.example/", key="hw_one")
    heliowatch_fido.configure("http://two.example/api/v1", key="hw_two")
    assert server.server_and_key() == ("http://two.example", "hw_two")
    assert server.server_and_key("http://one.example") == ("http://one.example", "hw_one")
    assert server.server_and_key("http://three.example") == ("http://three.example", None)
    monkeypatch.setenv("HELIOWATCH_SERVER", "http://four.example")
    monkeypatch.setenv("HELIOWATCH_KEY", "hw_four")
    assert server.server_and_key("http://three.example") == ("http://three.example", None)
    assert server.server_and_key("http://four.example") == ("http://four.example", "hw_four")


@pytest.mark.parametrize("key", ["hw_secret\nother", "hw_secr\u00e9t", "hw_secr\udce9t", "hw_secret" * 1000])
def test_a_key_that_is_none_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    def refusal(call: Callable[[], object]) -> str:
        with pytest.raises(heliowatch_fido.HeliowatchError, match="one line of printable ASCII") as caught:
            call()
        return str(caught.value)

    said = [refusal(lambda: heliowatch_fido.configure("http://one.example", key=key))]
    said.append(refusal(lambda: heliowatch_fido.Client("http://one.example", key=key)))
    monkeypatch.setenv("HELIOWATCH_SERVER", "http://four.example")
    monkeypatch.setenv("HELIOWATCH_KEY", key)
    said.append(refusal(lambda: Fido.search(DAY, a.Instrument("kso-halpha"))))
    assert not any(part in words for words in said for part in ("secr", "other"))


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("caf\\udce9utf.jpg", "caf_utf.jpg"),
        ("\\udcff\\udc80.fits", "__.fits"),
        ("caf\udce9utf.jpg", "caf_utf.jpg"),
        ("..\\..\\udd.jpg", "udd.jpg"),
        ("../../etc/passwd", "passwd"),
    ],
)
def test_a_name_is_kept_without_its_odd_bytes_and_its_folders(word: str, name: str) -> None:
    assert safe_name(word, "frame-1") == name


def served(house: House, **service: Any) -> Any:
    """The same database behind a service of other settings."""
    changed = house.settings.model_copy(update={"service": house.settings.service.model_copy(update=service)})
    return in_thread(create_app(changed, house.db))


def test_previews_come_where_originals_are_kept(house: House, tmp_path: Path) -> None:
    with served(house, serve_originals=False) as url:
        found = Fido.search(DAY, a.Instrument("gong-halpha"), a.heliowatch.Server(url))
        with pytest.warns(UserWarning, match="fetching previews"):
            (file,) = Fido.fetch(found, path=tmp_path, progress=False)
    assert Path(file).name.endswith(".preview.jpg")


def test_a_server_that_wants_a_key_gets_it_with_every_file(house: House, tmp_path: Path) -> None:
    _, key = keys.create(house.db, "notebook", [Scope.READ], None, datetime.now(UTC))
    with served(house, open_reading=False) as url:
        with pytest.raises(heliowatch_fido.RefusedError, match="key"):
            Fido.search(DAY, a.Instrument("gong-halpha"), a.heliowatch.Server(url))
        heliowatch_fido.configure(url, key=key)
        files = Fido.fetch(Fido.search(DAY, a.Instrument("gong-halpha")), path=tmp_path, progress=False)
    assert not files.errors
    assert Path(files[0]).read_bytes() == GONG.read_bytes()
