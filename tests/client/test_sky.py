"""Skies from the shell and in a notebook, of a real server."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import structlog
from astropy.time import Time
from heliowatch_fido import Client

from heliowatch import cli, logs
from observatory.analysis import SkyClass
from observatory.settings import Settings, load_settings
from observatory.storage.session import Database
from service.main import create_app
from tests.embedded import lay_out
from tests.environment import forget_settings
from tests.service.telescope import in_thread
from tests.stored_skies import disturbance, sky, stored

NIGHT = [SkyClass.ARC, SkyClass.CLOUD, None, SkyClass.DIFFUSE]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that knows four skies, a minute apart."""
    with pytest.MonkeyPatch.context() as patch:
        forget_settings(patch)
        settings = load_settings(data_dir=tmp_path_factory.mktemp("sky"))
    lay_out(settings.resolved_database_url)
    db = Database(settings.resolved_database_url)
    for minute, kind in enumerate(NIGHT):
        stored(db, 20 * minute, sky(kind), disturbance() if kind is SkyClass.ARC else None)
    with in_thread(create_app(settings, db)) as url:
        yield url
    db.dispose()


Ask = Callable[..., str]


@pytest.fixture
def ask(
    server: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> Ask:
    """Ask from the command line, in this process."""
    monkeypatch.setattr(logs, "configure", lambda _: None)
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), cache_logger_on_first_use=False)
    monkeypatch.setenv("HELIOWATCH_SERVER", server)

    def call(*words: str, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["heliowatch", "query", "sky", *words])
        ended = 0
        try:
            cli.main()
        except SystemExit as end:
            ended = int(end.code or 0)
        written = capsysbinary.readouterr()
        assert ended == code, written.err
        return written.out.decode()

    return call


def test_the_shell_tells_skies_newest_first(ask: Ask) -> None:
    lines = ask("--format", "json").splitlines()
    assert [json.loads(line)["sky_class"] for line in lines] == ["diffuse", "cloud", "arc"]
    table = ask().splitlines()
    assert table[0].split() == [
        "time",
        "instrument",
        "sky_class",
        "aurora_probability",
        "cloud_cover",
        "reason",
    ]
    assert "diffuse" in table[1]


def test_the_shell_chooses_and_bins_skies(ask: Ask) -> None:
    rows = csv.DictReader(io.StringIO(ask("-f", "csv", "--sky-class", "aurora")))
    assert [row["sky_class"] for row in rows] == ["diffuse", "arc"]
    assert "daylight" in ask("--sky-class", "none")
    (line,) = ask("-f", "json", "--bin", "1h").splitlines()
    assert json.loads(line)["frames"] == 3
    ask("--bin", "1h", "--all", code=2)


def test_a_file_of_every_sky_can_be_had(ask: Ask, tmp_path: Path) -> None:
    ask("--all", "-f", "parquet", "--out", str(tmp_path / "sky.parquet"))
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(tmp_path / "sky.parquet")
    assert table.num_rows == 3
    assert "probability_moon" in table.column_names


def test_a_notebook_has_skies_as_a_flat_table(server: str) -> None:
    table = Client(server).sky(instrument="themis-asi")
    assert isinstance(table["time"], Time)
    assert list(table["sky_class"]) == ["diffuse", "cloud", "arc"]
    assert np.allclose(table["probability_cloud"], [0.05, 0.75, 0.05])
    assert np.isnan(table["disturbance_x_nt"][0]) or table["disturbance_x_nt"].mask[0]
    assert table["disturbance_x_nt"][2] == -321.5
    assert list(Client(server).sky(sky_class="aurora", order="asc")["sky_class"]) == ["arc", "diffuse"]
    assert list(Client(server).sky(bin="1h")["frames"]) == [3.0]


def test_skies_of_nowhere_are_a_table_with_the_same_columns(server: str) -> None:
    for asked in ({}, {"bin": "1h"}):
        some = Client(server).sky(instrument="themis-asi", **asked)
        none = Client(server).sky(instrument="rego", **asked)
        assert len(none) == 0
        assert none.colnames == some.colnames
        assert isinstance(none["time"], Time)
    assert Client(server).sky(limit=1)["frame_id"].dtype == np.int64
