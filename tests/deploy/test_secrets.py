"""What the first start of the deployment makes, and whether the settings read it."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from observatory.settings import load_settings
from tests.deploy.layout import DEPLOY

SCRIPT = DEPLOY / "secrets/make_secrets.py"


def make(root: Path) -> list[str]:
    done = subprocess.run([sys.executable, SCRIPT, root], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    make(tmp_path)
    return tmp_path


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("HELIOWATCH_")]:
        monkeypatch.delenv(name)
    return monkeypatch


def test_database_and_queue_are_read_from_the_secret_files(secrets: Path, clean: pytest.MonkeyPatch) -> None:
    clean.setenv("HELIOWATCH_CONFIG", str(DEPLOY / "heliowatch.yaml"))
    clean.setenv("HELIOWATCH_SECRETS_DIR", str(secrets / "heliowatch"))
    settings = load_settings()
    password = (secrets / "postgres/password").read_text()
    assert settings.resolved_database_url == f"postgresql://heliowatch:{password}@postgres:5432/heliowatch"
    assert settings.broker_url.startswith("redis://:")
    assert not settings.is_embedded
    assert settings.watch == [Path("/frames")]
    assert settings.log.as_json


def test_the_environment_wins_over_a_secret_file(secrets: Path, clean: pytest.MonkeyPatch) -> None:
    clean.setenv("HELIOWATCH_SECRETS_DIR", str(secrets / "heliowatch"))
    clean.setenv("HELIOWATCH_BROKER_URL", "redis://elsewhere:6379/1")
    assert load_settings().broker_url == "redis://elsewhere:6379/1"


def test_redis_and_broker_url_carry_the_same_password(secrets: Path) -> None:
    keyword, password = (secrets / "redis/auth.conf").read_text().split()
    assert keyword == "requirepass"
    assert f":{password}@redis:6379/0" in (secrets / "heliowatch/heliowatch_broker_url").read_text()


def test_a_second_start_changes_nothing(secrets: Path) -> None:
    before = {path: path.read_bytes() for path in secrets.rglob("*") if path.is_file()}
    assert make(secrets) == []
    assert {path: path.read_bytes() for path in secrets.rglob("*") if path.is_file()} == before


def test_a_start_that_was_cut_short_is_completed_with_the_same_password(secrets: Path) -> None:
    url = secrets / "heliowatch/heliowatch_database_url"
    before = url.read_text()
    url.unlink()
    assert make(secrets) == [f"made {url}"]
    assert url.read_text() == before


def test_every_reader_may_read_and_none_may_write(secrets: Path) -> None:
    modes = {stat.S_IMODE(path.stat().st_mode) for path in secrets.rglob("*") if path.is_file()}
    assert modes == {0o444}


def test_two_deployments_share_no_password(tmp_path: Path) -> None:
    make(tmp_path / "a")
    make(tmp_path / "b")
    for name in ("postgres/password", "redis/auth.conf", "grafana/admin_password"):
        assert (tmp_path / "a" / name).read_text() != (tmp_path / "b" / name).read_text()
