"""An instrument that nobody knows is an error that says which there are, whatever the verb."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import migrations
from observatory.settings import Settings, load_settings
from observatory.storage.session import Database
from service.main import create_app
from tests.heliowatch.ended import Run
from tests.observatory.test_completeness import put
from tests.service.telescope import in_thread

CONFIGURED = '{"dome": {"kind": "allsky"}}'
RULES = "- alert: Cloud\n  when: {quality: {lt: 0.4}}\n"


@pytest.fixture
def station(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A station with frames of one camera and a second one in its settings; yields its address."""
    monkeypatch.setenv("HELIOWATCH_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("HELIOWATCH_INSTRUMENTS", CONFIGURED)
    migrations.upgrade(settings.resolved_database_url)
    put(Database(settings.resolved_database_url), "roof", 1.7e9 + np.arange(0.0, 300.0, 60.0))
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    monkeypatch.setenv("HELIOWATCH_ALERTS__RULES", str(rules))
    with in_thread(create_app(load_settings())) as address:
        monkeypatch.setenv("HELIOWATCH_SERVER", address)
        yield address


@pytest.mark.parametrize(
    "verb",
    [
        "reprocess --dry-run",
        "reprocess",
        "alerts list",
        "alerts test",
        "coverage",
        "closures add 2026-06-01/2026-06-02",
        "keogram",
        "movie",
        "query frames",
        "query regions --format csv",
        "query quality --format votable",
        "query sky --format json",
    ],
)
def test_an_instrument_that_nobody_knows_is_wrong_usage(run: Run, station: str, verb: str) -> None:
    ended = run(*verb.split(), "-i", "rooof")
    assert ended.code == 2, ended.err
    assert "rooof" in ended.err and "dome" in ended.err and ended.out == ""


@pytest.mark.parametrize("name", ["roof", "dome", "aia-193"])
@pytest.mark.parametrize("verb", ["reprocess --dry-run", "alerts list", "alerts test", "query frames"])
def test_known_and_configured_instruments_may_have_nothing_yet(
    run: Run, station: str, verb: str, name: str
) -> None:
    assert run(*verb.split(), "-i", name).code == 0
