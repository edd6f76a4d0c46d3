"""`heliowatch query` asks a real server, follows its pages, and repeats its words when it refuses."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
import structlog

from heliowatch import cli, logs, remote
from heliowatch.query import _copy_csv
from observatory.access import Scope
from observatory.errors import SettingsError
from observatory.storage import keys
from service.main import create_app
from tests.client.conftest import House
from tests.service.telescope import in_thread

pytestmark = pytest.mark.usefixtures("settings")
DAY = "2026-06-01/2026-06-02"
Run = Callable[..., tuple[int, bytes, str]]


@pytest.fixture
def run(house: House, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Run the command line in this process against the served database."""
    monkeypatch.setattr(logs, "configure", lambda _: None)
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), cache_logger_on_first_use=False)
    monkeypatch.setenv("HELIOWATCH_SERVER", house.url)

    def call(*arguments: object) -> tuple[int, bytes, str]:
        monkeypatch.setattr(sys, "argv", ["heliowatch", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        written = capsysbinary.readouterr()
        return code, written.out, written.err.decode()

    return call


def lines(out: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in out.splitlines()]


def test_frames_come_as_a_table_for_people(run: Run) -> None:
    code, out, _ = run("query", "frames", "--time", DAY, "--instrument", "gong-halpha")
    assert code == 0
    assert b"20150807192114Mh.fits.fz" in out
    assert b"2026-06-01 01:00:00" in out


def test_filters_narrow_and_json_is_one_object_a_line(run: Run) -> None:
    code, out, _ = run("query", "frames", "-t", DAY, "--cause", "cloud", "--quality-max", "0.5", "-f", "json")
    assert code == 0
    assert [item["quality"]["causes"][0]["cause"] for item in lines(out)] == ["cloud"] * 3


def test_pages_are_followed_to_the_limit_and_to_the_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from heliowatch import query

    monkeypatch.setattr(query, "_PAGE", 4)
    code, out, err = run("query", "frames", "-t", DAY, "--limit", "6", "-f", "json")
    assert (code, len(lines(out)), err) == (0, 6, "")
    monkeypatch.setattr(query, "_SHOWN", 5)
    code, out, err = run("query", "frames", "-t", DAY)
    assert (code, len(out.splitlines())) == (0, 6)
    assert "--all" in err
    code, out, err = run("query", "frames", "-t", DAY, "--all", "-f", "json")
    ids = [item["id"] for item in lines(out)]
    assert (code, len(ids), len(set(ids)), err) == (0, 15, 15, "")


def test_csv_pages_make_one_file_with_one_header(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from heliowatch import query

    monkeypatch.setattr(query, "_PAGE", 4)
    code, out, _ = run("query", "frames", "-t", DAY, "--limit", "10", "-f", "csv")
    rows = list(csv.DictReader(io.StringIO(out.decode(), newline="")))
    assert (code, len(rows), len({row["id"] for row in rows})) == (0, 10, 10)
    file = tmp_path / "frames.csv"
    code, out, _ = run("query", "frames", "-t", DAY, "--all", "-f", "csv", "--out", file)
    assert (code, out) == (0, b"")
    assert len(list(csv.DictReader(file.open(newline="")))) == 15
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_rows_are_counted_by_quotes_not_by_lines() -> None:
    page = [b'id,reason\r\n1,"broken\n', b'in two"\r\n2,x\r\n3,y', b"\r\n"]
    file = io.BytesIO()
    assert _copy_csv(iter(page), file, 2, is_first=True) == 3
    assert file.getvalue() == b'id,reason\r\n1,"broken\nin two"\r\n2,x\r\n'


def test_quality_is_a_series(run: Run) -> None:
    code, out, _ = run("query", "quality", "-t", DAY, "-i", "kso-halpha", "--bin", "4m", "-f", "json")
    assert (code, [item["frames"] for item in lines(out)]) == (0, [4, 4, 4])
    code, out, _ = run("query", "quality", "-t", DAY, "-f", "csv")
    assert (code, len(out.splitlines())) == (0, 15)


@pytest.mark.parametrize("form", ["json", "csv", "votable"])
def test_a_series_that_is_cut_is_told_to_who_named_no_limit(
    run: Run, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    from heliowatch import query

    _, _, said = run("query", "quality", "-t", DAY, "--bin", "1m", "-f", form)
    assert said == ""
    monkeypatch.setattr(query, "_SERIES", 2)
    code, out, said = run("query", "quality", "-t", DAY, "--bin", "1m", "-f", form)
    assert code == 0 and out and "there are more quality; --limit N" in said
    assert run("query", "quality", "-t", DAY, "--bin", "1m", "-f", form, "--limit", 2)[2] == ""


def test_regions_come_as_a_votable(run: Run, tmp_path: Path) -> None:
    from astropy.table import Table

    code, _, _ = run("query", "regions", "-t", DAY, "-f", "votable", "-o", tmp_path / "regions.vot")
    assert code == 0
    assert "event_type" in Table.read(tmp_path / "regions.vot", format="votable").colnames


def test_the_servers_refusal_is_told_in_its_words(run: Run) -> None:
    code, out, err = run("query", "frames", "--time", "yesterday")
    assert (code, out) == (1, b"")
    assert "START/END" in err
    code, _, err = run("query", "frames", "--cause", "rain")
    assert code == 1
    assert "cloud, thin_cloud" in err


def test_wrong_usage_ends_with_two(run: Run) -> None:
    for wrong in (
        ("query", "moons"),
        ("query", "quality", "--track", "3"),
        ("query", "frames", "--limit", "3", "--all"),
        ("query", "quality", "--all"),
        ("query", "frames", "--limit", "0"),
        ("query", "frames", "--filter", "nonsense"),
        ("query", "frames", "--filter", "mark=bad", "--filter", "mark=good"),
        ("query", "frames", "--filter", "time=2026-01-01/..", "--time", "2025-01-01/.."),
        ("query", "frames", "--server", "ftp://there"),
        ("query", "frames", "--server", "http://me:secret@there"),
        ("query", "frames", "--key-file", "/nowhere/key"),
    ):
        code, out, err = run(*wrong)
        assert (code, out) == (2, b""), wrong
        assert err


def test_a_server_that_is_not_there_is_named(run: Run) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            remote.Server.__init__, "__kwdefaults__", {"tries": 1, "backoff_s": 0.0, "pause": lambda _: None}
        )
        code, _, err = run("query", "frames", "--server", "http://127.0.0.1:9")
    assert code == 1
    assert "127.0.0.1:9" in err


def test_the_key_comes_from_environment_or_file_and_goes_to_its_server_alone(
    run: Run, house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from datetime import UTC, datetime

    _, key = keys.create(house.db, "shell", [Scope.READ], None, datetime.now(UTC))
    closed = house.settings.model_copy(
        update={"service": house.settings.service.model_copy(update={"open_reading": False})}
    )
    with in_thread(create_app(closed, house.db)) as url:
        assert run("query", "frames", "--server", url)[0] == 1
        monkeypatch.setenv("HELIOWATCH_KEY", key)
        assert run("query", "frames", "--server", url)[0] == 1, "the key was for another server"
        monkeypatch.setenv("HELIOWATCH_SERVER", url)
        assert run("query", "frames")[0] == 0
        monkeypatch.delenv("HELIOWATCH_KEY")
        file = tmp_path / "key"
        file.write_text(f"{key}\n")
        code, _, err = run("query", "frames", "--key-file", file)
        assert (code, err) == (0, "")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (b"hw_secret\nother", "more than one line"),
        (b"hw_secret\r\nother\r\n", "more than one line"),
        ("hw_secr\u00e9t".encode(), "at place 8"),
        (b"hw_secr\xe9t", "at place 8"),
        (b"hw secret", "at place 3"),
        (b"hw_secret" * 1000, "more than 8192"),
    ],
)
def test_a_key_that_is_none_is_refused_and_not_repeated(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: bytes, said: str
) -> None:
    file = tmp_path / "key"
    file.write_bytes(key)
    code, out, err = run("query", "frames", "--key-file", file)
    assert (code, out) == (2, b"") and str(file) in err and said in err
    assert not any(part in err for part in ("secr", "other"))
    monkeypatch.setenv("HELIOWATCH_KEY", os.fsdecode(key))
    code, out, err = run("query", "frames")
    assert (code, out) == (2, b"") and "HELIOWATCH_KEY" in err and said in err
    assert not any(part in err for part in ("secr", "other"))


def test_a_key_file_without_a_key_is_refused(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("\n")
    code, out, err = run("query", "frames", "--key-file", file)
    assert (code, out) == (2, b"") and "is empty" in err


def test_a_busy_server_is_asked_again_and_an_answer_cut_off_is_an_error() -> None:
    answers = iter([429, 503, 200])
    pauses: list[float] = []

    def answer(_: httpx2.Request) -> httpx2.Response:
        status = next(answers)
        return httpx2.Response(status, headers={"Retry-After": "7"}, json={"detail": "busy", "items": []})

    server = remote.Server("http://there", pause=pauses.append)
    server._client = httpx2.Client(transport=httpx2.MockTransport(answer))
    assert server.json("frames") == {"detail": "busy", "items": []}
    assert pauses == [7.0, 7.0]

    def cut(_: httpx2.Request) -> httpx2.Response:
        raise httpx2.RemoteProtocolError("peer closed connection")

    server._client = httpx2.Client(transport=httpx2.MockTransport(cut))
    with pytest.raises(remote.ServerUnreachableError, match="peer closed"):
        server.json("frames")


def test_an_address_is_one() -> None:
    assert remote.Server("http://there:8000/sun/api/v1/").url == "http://there:8000/sun"
    assert str(remote.Server("http://there/sun")._join("frames")) == "http://there/sun/api/v1/frames"
    with pytest.raises(remote.ServerUnreachableError, match="another server"):
        remote.Server("http://there")._join("http://elsewhere/api/v1/frames")
    with pytest.raises(SettingsError):
        remote.Server("there:8000")


def test_help_loads_no_network_library() -> None:
    code = "import sys; from heliowatch import cli; print('httpx2' in sys.modules or 'numpy' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
