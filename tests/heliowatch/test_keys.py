"""`heliowatch keys` and `heliowatch mark`, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from heliowatch.cli import app
from observatory.access import Scope
from observatory.errors import HeliowatchError
from observatory.settings import Settings
from observatory.storage import audit, keys, marks
from observatory.storage.audit import AuditFilter
from observatory.storage.files import ProductFiles
from observatory.storage.session import Database
from tests.embedded import lay_out
from tests.service.telescope import Telescope

Shell = Callable[..., Result]


@pytest.fixture
def house(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setenv("HELIOWATCH_DATA_DIR", str(settings.data_dir))
    monkeypatch.setattr("heliowatch.logs.configure", lambda _: None)  # it would outlive the runner's stderr
    lay_out(settings.resolved_database_url)
    return Database(settings.resolved_database_url)


@pytest.fixture
def shell(house: Database) -> Shell:
    return lambda *words: CliRunner().invoke(app, list(words))


def test_a_key_is_printed_once_listed_and_revoked(shell: Shell, house: Database) -> None:
    made = shell("keys", "create", "kso-camera", "--scope", "read", "--scope", "write", "--expires", "90d")
    assert made.exit_code == 0
    key = made.stdout.strip()
    prefix, secret = keys.split(key) or ("", "")
    (kept,) = keys.listed(house)
    assert kept.prefix == prefix and kept.matches(secret)
    assert kept.scopes == {"read", "write"}
    assert kept.expires_at is not None and (kept.expires_at - kept.created_at).days == 90
    table, lines = shell("keys", "list").stdout, shell("keys", "list", "--json").stdout
    assert "kso-camera" in table and prefix in table
    assert secret not in table + lines and kept.secret_sha256 not in table + lines
    assert json.loads(lines)["state"] == "live"
    assert shell("keys", "revoke", prefix).exit_code == 0
    assert json.loads(shell("keys", "list", "--json").stdout)["state"] == "revoked"
    noted = [entry["action"] for entry in audit.page(house, AuditFilter(), limit=9)]
    assert noted == ["keys revoke", "keys create"]
    assert secret not in repr(audit.page(house, AuditFilter(), limit=9))


def test_a_key_that_opens_nothing_any_more_is_said_to_be_so(shell: Shell, house: Database) -> None:
    shell("keys", "create", "camera", "--scope", "write")
    (key,) = keys.listed(house)
    assert shell("keys", "revoke", "camera").exit_code == 0
    for word in ("camera", key.prefix):
        again = str(shell("keys", "revoke", word).exception)
        assert again.startswith(f"the key camera ({key.prefix}) is revoked already, since 20")
    keys.create(house, "old", {Scope.READ}, key.created_at, key.created_at)
    assert ") is expired already, since 20" in str(shell("keys", "revoke", "old").exception)
    assert len(audit.page(house, AuditFilter(), limit=9)) == 2


def test_who_finds_a_key_revokes_it_by_itself(shell: Shell, house: Database) -> None:
    key = shell("keys", "create", "camera", "--scope", "write").stdout.strip()
    done = shell("keys", "revoke", key)
    assert done.exit_code == 0 and key not in done.output
    (kept,) = keys.listed(house)
    assert kept.revoked_at is not None


@pytest.mark.parametrize(
    "words",
    [
        ("keys", "create", "x"),
        ("keys", "create", "x", "--scope", "root"),
        ("keys", "create", "x", "--scope", "read", "--expires", "soon"),
        ("keys", "create", "x", "--scope", "read", "--expires", "-1d"),
        ("keys", "create", "x", "--scope", "read", "--expires", "9999y"),
        ("keys", "create", "a\nb", "--scope", "read"),
        ("keys", "create", "../x", "--scope", "read"),
        ("keys", "create", "", "--scope", "read"),
        ("keys", "revoke", "nobody"),
        ("mark", "good", "77"),
        ("mark", "ugly", "1"),
        ("mark", "good", "' OR 1=1"),
    ],
)
def test_what_cannot_be_is_refused(shell: Shell, house: Database, words: tuple[str, ...]) -> None:
    done = shell(*words)
    assert done.exit_code == 2 or isinstance(done.exception, HeliowatchError)
    assert keys.listed(house) == []


def test_a_frame_is_marked_at_the_shell(shell: Shell, house: Database, tmp_path: Path) -> None:
    telescope = Telescope(house, ProductFiles(tmp_path / "products"))
    frame_id = telescope.observe(file_name="a.fits")
    assert shell("mark", "bad", str(frame_id), "--note", "a bird").exit_code == 0
    assert shell("mark", "clear", "a.fits").exit_code == 0
    newest, first = marks.of_frame(house, frame_id)
    assert (first.mark, first.note, newest.mark) == ("bad", "a bird", None)
    assert "@" in first.author
    (entry, _) = audit.page(house, AuditFilter(), limit=9)
    assert (entry["action"], entry["target"]) == ("mark", f"frames/{frame_id}")
