"""The command line keeps its promises: exit codes, names, formats, messages without tracebacks."""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

import heliowatch
from models import registry
from observatory.instruments import Limits, read_file
from observatory.settings import Settings
from observatory.storage.schema import SCHEMA_REVISION
from tests.embedded import lay_out
from tests.heliowatch.ended import Run
from tests.heliowatch.scoring import CLEAR

pytestmark = pytest.mark.usefixtures("settings")  # a folder of our own, an environment without ours


def shell(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own."""
    home = str(Path(heliowatch.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-m", "heliowatch.cli", *map(str, arguments)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([home, os.environ.get("PYTHONPATH", "")]),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("score",),
        ("score", "x.png", "--format", "xml"),
        ("score", "x.png", "--colour"),
        ("frobnicate",),
        ("analyse",),
        ("simulate", "out", "--frames", "0"),
        ("worker", "--processes", "0"),
        ("serve", "--port", "70000"),
    ],
)
def test_wrong_usage_ends_with_2(run: Run, arguments: tuple[str, ...]):
    assert run(*arguments).code == 2


def test_not_a_traceback_but_a_line_for_settings_that_cannot_work(run: Run, tmp_path: Path):
    (tmp_path / "heliowatch.yaml").write_text("service: {port: many}\n")
    ended = run("score", CLEAR)
    assert ended.code == 2
    assert ended.err.startswith("heliowatch: settings: service.port:")
    assert ended.out == ""


def test_help_imports_nothing_heavy():
    script = (
        "import sys\nfrom heliowatch import cli\nsys.argv = ['heliowatch', '--help']\n"
        "try:\n    cli.main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'numpy', 'astropy', 'celery', 'fastapi', 'onnxruntime', 'cv2', 'sqlalchemy', 'pydantic', 'torch'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    home = str(Path(heliowatch.__file__).parents[1])
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=home, capture_output=True, text=True, timeout=60
    )
    assert ended.stderr.strip() == "[]"
    for verb in ("score", "analyse", "up", "ingest", "worker", "serve", "backfill", "demo", "simulate", "db"):
        assert f" {verb} " in ended.stdout
    assert "models" in ended.stdout
    assert "doctor" in ended.stdout


def test_data_goes_to_stdout_and_logs_to_stderr(tmp_path: Path):
    ended = shell("simulate", tmp_path / "dome", "--frames", 1, "--cadence", 0, "--size", 128)
    assert ended.returncode == 0
    assert ended.stdout == ""
    assert "exposed" in ended.stderr


def test_the_version_is_printed(run: Run):
    ended = run("--version")
    assert (ended.code, ended.out.strip()) == (0, heliowatch.__version__)


def test_models_are_listed_and_verified(run: Run):
    listed = run("models", "list", "--format", "json")
    by_name = {line["name"]: line for line in listed.lines}
    assert len(by_name["halpha_quality"]["sha256"]) == 64
    verified = run("models", "verify")
    assert (verified.code, "halpha_quality" in verified.out) == (0, True)
    assert "aia_quality: as its manifest says" in verified.out
    assert "halpha_quality" in run("models", "list").out


def test_verify_finds_an_altered_calibration_of_thresholds(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    home = tmp_path / "models" / "aia_quality"
    home.mkdir(parents=True)
    for name in ("thresholds.toml", "calibration.npz"):
        shutil.copy(Path(registry.__file__).with_name("aia_quality") / name, home)
    monkeypatch.setattr(registry, "_FAMILIES", home.parent)
    assert run("models", "verify").code == 0
    with (home / "calibration.npz").open("ab") as file:
        file.write(b"more")
    verified = run("models", "verify")
    assert (verified.code, verified.out) == (1, "")
    assert "aia_quality" in verified.err and "calibration.npz was altered" in verified.err


@pytest.mark.parametrize("verb", ["train", "evaluate", "export"])
def test_a_familys_own_options_are_explained(run: Run, verb: str):
    ended = run("models", verb, "halpha_quality", "--help")
    assert ended.code == 0
    assert f"heliowatch models {verb} halpha_quality" in ended.out


@pytest.mark.parametrize("verb", ["train", "evaluate", "export"])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_without_a_family_names_the_families(run: Run, verb: str, flag: str):
    ended = run("models", verb, flag)
    assert ended.code == 0
    assert f"usage: heliowatch models {verb} FAMILY" in ended.out
    assert "halpha_quality" in ended.out


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "aia_quality", "--every", "0"),
        ("evaluate", "hmi_quality", "--every", "0"),
        ("evaluate", "allsky_quality", "--frames", "0"),
        ("evaluate", "aurora", "--simulated", "-3"),
        ("evaluate", "halpha_quality", "--injected", "0"),
        ("train", "hmi_enhancement", "--lr", "nan"),
        ("train", "halpha_quality", "--seed", "one"),
    ],
)
def test_a_familys_number_that_counts_nothing_is_wrong_usage(run: Run, words: tuple[str, ...]):
    ended = run("models", *words)
    assert (ended.code, ended.out) == (2, "")
    assert f"argument {words[2]}: " in ended.err


def test_every_default_of_a_family_may_also_be_written():
    for family in registry.trainable_families():
        for verb in ("train", "evaluate", "export"):
            for option in dataclasses.fields(registry.options_of(family, verb)):
                if isinstance(option.default, int | float):
                    assert option.default >= option.metadata.get("least", 0), (family, verb, option.name)


def test_a_family_that_nobody_knows_is_said(run: Run):
    ended = run("models", "train", "nothing")
    assert ended.code in (1, 2)
    assert ended.err.startswith("heliowatch: ")


def test_what_runs_is_printed_in_no_form_that_is_not_there(run: Run):
    ended = run("models", "watch", "--format", "csv")
    assert (ended.code, ended.out) == (2, "")
    assert "'csv' is not one of 'table', 'json'" in ended.err


def test_simulate_writes_frames_that_say_so_and_the_same_seed_writes_the_same(run: Run, tmp_path: Path):
    options = ("--frames", 3, "--cadence", 0, "--size", 128, "--seed", 5, "--start", "2024-05-08T12:00:00Z")
    for name in ("one", "two"):
        assert run("simulate", tmp_path / name, *options).code == 0
    one, two = (sorted((tmp_path / name).iterdir()) for name in ("one", "two"))
    assert [path.name for path in one] == [
        "kanz_halph_fi_20240508_120000.fts.gz",
        "kanz_halph_fi_20240508_120006.fts.gz",
        "kanz_halph_fi_20240508_120012.fts.gz",
    ]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    from observatory.instruments import Limits, read_file

    assert all(read_file(path, Limits()).facts().is_simulated for path in one)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--step", "0.5"), "--step"),
        (("-i", "hmi", "--step", "20"), "45 s or more"),
        (("--seed", "-1"), "--seed"),
        (("--magnetometer", "mag"), "-i allsky"),
    ],
)
def test_a_simulation_that_would_lose_files_or_leave_an_option_is_wrong_usage(
    run: Run, tmp_path: Path, words: tuple[str, ...], said: str
):
    ended = run("simulate", tmp_path / "frames", "--frames", 1, "--cadence", 0, "--size", 128, *words)
    assert (ended.code, said in ended.err, (tmp_path / "frames").exists()) == (2, True, False)


def test_frames_faster_than_their_names_are_told_apart_by_the_simulated_clock(run: Run, tmp_path: Path):
    times = ("--cadence", "0.1", "--start", "2024-05-08T12:00:00Z")
    assert run("simulate", tmp_path / "frames", "--frames", 3, "--size", 128, *times).code == 0
    assert len(list((tmp_path / "frames").iterdir())) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--start", "noon"), "'noon' is not a time"),
        (("--start", "0001-01-01T00:00:00+05:00"), "is not a time"),
        (("--start", "1850-01-01"), "begin in 1970"),
        (("--start", "9999-12-31T23:59:59"), "beyond the year 9998: take an earlier --start"),
        (("--step", "1e12"), "or a smaller --step"),
    ],
)
def test_a_start_that_is_no_time_of_the_simulation_is_said(
    run: Run, tmp_path: Path, words: tuple[str, ...], said: str
):
    ended = run("simulate", tmp_path / "frames", "--frames", 2, "--cadence", 0, "--size", 128, *words)
    assert (ended.code, said in ended.err, (tmp_path / "frames").exists()) == (2, True, False)


@pytest.mark.parametrize("instrument", ["kso-halpha", "aia"])
def test_a_simulation_begins_as_early_as_is_said(run: Run, tmp_path: Path, instrument: str):
    words = ("-i", instrument, "--start", "1970-01-01", "--frames", 1, "--cadence", 0, "--size", 128)
    assert run("simulate", tmp_path / "frames", *words).code == 0
    assert any((tmp_path / "frames").iterdir())


def test_the_schema_is_brought_up_to_date_and_told(run: Run):
    before = run("db", "current")
    assert (before.code, "found nothing" in before.out) == (1, True)
    assert run("db", "upgrade").code == 0
    after = run("db", "current")
    assert (after.code, f"found {SCHEMA_REVISION}, wanted {SCHEMA_REVISION}" in after.out) == (0, True)


@pytest.mark.parametrize("verb", ["serve", "ingest"])
def test_nothing_starts_on_an_empty_database(run: Run, tmp_path: Path, verb: str):
    ended = run(verb, tmp_path) if verb == "ingest" else run(verb)
    assert ended.code == 2
    assert "heliowatch db upgrade" in ended.err


def test_a_folder_to_watch_must_be_named_and_be_there(run: Run, tmp_path: Path):
    run("db", "upgrade")
    nothing = run("ingest")
    assert (nothing.code, "no folder to watch" in nothing.err) == (2, True)
    missing = run("ingest", tmp_path / "nowhere", "--once")
    assert (missing.code, "create it first" in missing.err) == (2, True)


def test_up_refuses_a_broker_of_its_own(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HELIOWATCH_BROKER_URL", "redis://127.0.0.1:1/0")
    ended = run("up", "--watch", "x")
    assert (ended.code, "broker_url names another" in ended.err) == (2, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("up", "--watch", "file"),
        ("up", "--watch", "file/below"),
        ("analyse", CLEAR, "--out", "file"),
        ("simulate", "file", "--frames", 1, "--cadence", 0, "--size", 128),
    ],
)
def test_a_file_where_a_folder_is_wanted_is_said(run: Run, tmp_path: Path, arguments: tuple[object, ...]):
    (tmp_path / "file").touch()
    ended = run(*arguments)
    assert ended.code == 2
    assert ended.err.startswith(f"heliowatch: {arguments[-1] if arguments[0] != 'simulate' else 'file'}")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("verb", ["up", "serve"])
def test_a_port_that_is_taken_is_said_before_anything_starts(run: Run, tmp_path: Path, verb: str):
    if verb == "serve":
        run("db", "upgrade")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        more = ("--watch", tmp_path / "incoming") if verb == "up" else ()
        ended = run(verb, "--port", port, *more)
    assert ended.code == 1
    assert f"port {port}: Address already in use; name another" in ended.err
    assert ended.err.count("\n") == 1
    assert bool(list(tmp_path.rglob("heliowatch.db"))) == (verb == "serve")


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://me:s3cret@host/x", "postgresql://me:s3cret@host:port/x"]
)
def test_an_address_that_is_no_databases_is_said(run: Run, monkeypatch: pytest.MonkeyPatch, url: str):
    monkeypatch.setenv("HELIOWATCH_DATABASE_URL", url)
    ended = run("db", "upgrade")
    assert ended.code == 2
    assert "database_url" in ended.err
    assert "s3cret" not in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("url", ["redis:6379", "amqp://me:s3cret@host", "redis://:s3cret@host:port/0", ""])
def test_an_address_that_is_no_brokers_is_said(run: Run, monkeypatch: pytest.MonkeyPatch, url: str):
    monkeypatch.setenv("HELIOWATCH_BROKER_URL", url)
    ended = run("worker")
    assert ended.code == 2
    assert "settings: broker_url: is no address of a broker that we use: write redis://" in ended.err
    assert "s3cret" not in ended.err


def test_a_database_that_does_not_answer_is_said(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HELIOWATCH_DATABASE_URL", "postgresql://me:s3cret@127.0.0.1:1/x")
    ended = run("db", "upgrade")
    assert ended.code == 1
    assert ended.err.startswith("heliowatch: the database cannot be used now")
    assert "retried" not in ended.err  # nobody does, at the shell
    assert "s3cret" not in ended.err
    assert ended.err.count("\n") == 1


def test_a_level_of_logging_that_is_none_is_said_with_those_that_are():
    ended = shell("score", CLEAR, HELIOWATCH_LOG__LEVEL="nope")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "heliowatch: settings: log.level: 'nope' is none of DEBUG, INFO, WARNING, ERROR, CRITICAL\n"
    )
    assert shell("score", CLEAR, HELIOWATCH_LOG__LEVEL="debug").returncode == 0


def test_the_doctor_names_every_check_and_where_each_setting_came_from(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "heliowatch.yaml").write_text("service: {port: 8123}\n")
    monkeypatch.setenv("HELIOWATCH_LOG__LEVEL", "DEBUG")
    ended = run("doctor", "--json")
    report = orjson.loads(ended.out)
    checks = {check["name"]: check["is_ok"] for check in report["checks"]}
    assert set(checks) == {
        "environment",
        "database",
        "broker",
        "product folder",
        "watch folders",
        "models",
        "deployed models",
        "device",
        "films",
        "alert rules",
    }
    sources = {item["name"]: (item["value"], item["source"]) for item in report["settings"]}
    assert sources["service.port"] == (8123, "file heliowatch.yaml")
    assert sources["log.level"] == ("DEBUG", "environment HELIOWATCH_LOG__LEVEL")
    assert sources["service.host"] == ("127.0.0.1", "default")
    assert ended.code == (0 if all(checks.values()) else 1)


@pytest.mark.parametrize(
    "verb",
    [
        "closures list",
        "coverage",
        "alerts list",
        "keys list",
        "mark good 1",
        "db current",
        "db clean",
        "doctor",
    ],
)
def test_looking_makes_no_database(run: Run, tmp_path: Path, verb: str):
    run(*verb.split())
    assert not list(tmp_path.rglob("*.db"))


def test_a_slip_of_the_pen_in_the_environment_is_told(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HELIOWATCH_SERVICE_PORT", "8123")
    ended = shell("db", "current")
    assert "settings_ignored" in ended.stderr and "HELIOWATCH_SERVICE_PORT" in ended.stderr
    assert ended.stdout.startswith("found nothing")
    assert "✗ environment: ignored, as no setting: HELIOWATCH_SERVICE_PORT" in run("doctor").out


def test_the_doctor_finds_what_is_wrong_and_hides_passwords(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HELIOWATCH_BROKER_URL", "redis://:s3cret@127.0.0.1:1/0")
    monkeypatch.setenv("HELIOWATCH_DATABASE_URL", "postgresql://me:s3cret@127.0.0.1:1/x")
    monkeypatch.setenv("HELIOWATCH_WATCH", f'["{tmp_path}/nowhere"]')
    ended = run("doctor")
    assert ended.code == 1
    for words in ("✗ database", "✗ broker", "✗ watch folders", "nowhere"):
        assert words in ended.out
    assert "s3cret" not in ended.out + ended.err
    assert "s3cret" not in run("doctor", "--json").out


def test_a_corona_is_simulated_in_the_channels_of_a_composite(run: Run, tmp_path: Path):
    ended = run(
        "simulate",
        tmp_path,
        "-i",
        "aia",
        "--frames",
        1,
        "--size",
        128,
        "--cadence",
        0,
        "--start",
        "2026-06-01",
    )
    assert ended.code == 0
    opened = [read_file(path, Limits()) for path in sorted(tmp_path.glob("*.fits"))]
    assert {item.instrument for item in opened} == {"aia-304", "aia-171", "aia-193"}
    assert all(item.facts().is_simulated for item in opened)


@pytest.mark.parametrize(
    "words",
    [
        ("reproduce", "99999999999999999999999"),
        ("reproduce", "3", str(2**63)),
        ("reproduce", "0"),
        ("reprocess", "--cancel", str(2**63)),
        ("closures", "remove", str(2**63)),
        ("query", "regions", "--track", str(2**63)),
        ("query", "regions", "--frame", str(2**63)),
        ("sky", "cluster", "features", "--seed", "-1"),
        ("sky", "cluster", "features", "--seed", str(2**32)),
        ("sky", "disturbance", "rehearse", "--seed", "-1"),
    ],
)
def test_a_number_that_nothing_can_have_is_wrong_usage(run: Run, words: tuple[str, ...]) -> None:
    ended = run(*words)
    assert (ended.code, ended.out) == (2, "")
    assert "Invalid value for" in ended.err and "Input should be" in ended.err


@pytest.mark.parametrize("number", ["99999999999999999999999", str(2**63), str(2**63 - 1), "0"])
def test_a_frame_that_is_not_there_cannot_be_marked(
    run: Run, number: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELIOWATCH_DATA_DIR", str(settings.data_dir))
    lay_out(settings.resolved_database_url)
    ended = run("mark", "good", number)
    assert ended.code == 1
    assert f"there is no frame '{number}'" in ended.err
