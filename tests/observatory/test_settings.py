"""Settings: who wins, and what is said of a value that cannot work."""

from __future__ import annotations

from pathlib import Path

import pytest

from observatory.errors import SettingsError
from observatory.settings import Settings, ignored_names, load_settings

pytestmark = pytest.mark.usefixtures("settings")  # a folder of our own, an environment without ours


def write(text: str, path: str = "heliowatch.yaml") -> None:
    Path(path).write_text(text)


def test_without_anything_it_is_embedded_on_sqlite(tmp_path: Path):
    made = load_settings()
    assert made.is_embedded
    assert made.resolved_database_url == f"sqlite:///{tmp_path}/var/heliowatch/heliowatch.db"
    assert made.product_dir == Path("var/heliowatch/products")


def test_the_file_wins_over_defaults_secrets_over_the_file_and_the_environment_over_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write("database_url: postgresql://file/x\nservice: {port: 1001, host: 0.0.0.0}\nlog: {level: DEBUG}\n")
    assert load_settings().database_url == "postgresql://file/x"
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "heliowatch_database_url").write_text("postgresql://secret/x\n")
    monkeypatch.setenv("HELIOWATCH_SECRETS_DIR", str(secrets))
    assert load_settings().database_url == "postgresql://secret/x"
    monkeypatch.setenv("HELIOWATCH_DATABASE_URL", "postgresql://environment/x")
    monkeypatch.setenv("HELIOWATCH_SERVICE__PORT", "1002")
    made = load_settings()
    assert made.database_url == "postgresql://environment/x"
    assert (made.service.port, made.service.host, made.log.level) == (1002, "0.0.0.0", "DEBUG")
    assert load_settings(database_url="sqlite:///given.db").database_url == "sqlite:///given.db"


def test_another_file_can_be_named(monkeypatch: pytest.MonkeyPatch):
    write("log: {level: ERROR}\n", "other.yaml")
    monkeypatch.setenv("HELIOWATCH_CONFIG", "other.yaml")
    assert load_settings().log.level == "ERROR"


def test_a_named_file_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HELIOWATCH_CONFIG", "nowhere.yaml")
    with pytest.raises(SettingsError, match=r"nowhere\.yaml, which is not there"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("servce: {port: 1}", "servce"),
        ("service: {prt: 1}", r"^settings: service\.prt: there is no such setting; did you mean port\?$"),
        ("data-dir: /data", r"data-dir: there is no such setting; did you mean data_dir\?$"),
        ("log: {colour: red}", r"log\.colour: there is no such setting; known are level, as_json$"),
        ("instruments: {a: {kind: halpha, cadence: 60}}", r"a\.cadence: .* did you mean cadence_s\?$"),
        (
            "instruments: {a: {kind: halpha, closures: [{time: 2026-12-01/2026-12-24, why: snow}]}}",
            r"closures\.0.*\.why: there is no such setting; known are time, reason$",
        ),
        (
            "notifications: {channels: {a: {kind: mqtt, host: b, pasword_file: /p}}}",
            r"pasword_file: there is no such setting; did you mean password_file\?$",
        ),
        ("instruments:\n  a: {kind: halpha, since: 2026-02-30}", r"2026-02-30: day .* line 2, column 28"),
        ("service: {port: many}", r"service\.port"),
        ("service: {port: 99999}", r"service\.port"),
        ("worker: {lease_s: 1}", "lease_s must be at least twice"),
        ("runtime: {device: abacus}", r"runtime\.device.*cpu"),
        ("runtime: {threads: 1000000}", r"runtime\.threads"),
        ("worker: {processes: 100000000000}", r"worker\.processes"),
        ("limits: {max_pixels: -1}", r"limits\.max_pixels"),
        ("watch: /data/in", r'^settings: watch: write a list, such as \["/data/in"\]$'),
        (
            "instruments: {a: {kind: allsky, patterns: '*.png'}}",
            r'a\.patterns: write a list, such as \["\*\.png"\]$',
        ),
        ("composites: {sizes: 1024}", r"composites\.sizes: write a list, such as \[1024\]$"),
        ("service:\n  # port: 1", r"^settings: service: is empty: write something, or leave its name out"),
        ("watch:", r"^settings: watch: is empty"),
        ("data_dir:", r"^settings: data_dir: is empty"),
        ("log: DEBUG", r"^settings: log: write names and values under it"),
        ("instruments: kso-halpha", r"^settings: instruments: write names and values under it"),
        ("instruments: {no: {kind: halpha}}", r"^settings: instruments\..*: write it in quotes"),
        ("publisher: {title: 2026-01-01}", r"^settings: publisher\.title: write it in quotes"),
        ("notifications: {channels: {a: {url: u}}}", r"channels\.a: lacks 'kind': docs/alerts\.md"),
        ("notifications: {channels: {a: {kind: mail}}}", r"'kind' has to be one of 'apprise', 'webhook'"),
        ("films: {preset: slwo}", r"films\.preset: .*'ultrafast'.*'slow'"),
        ("instruments: {mine: {kind: hubble}}", "kso-halpha"),
        ("instruments: {aia-193: {kind: halpha}}", "known instrument of another kind"),
        ("instruments: {mine: {}}", r"instruments\.mine\.kind"),
        ("- a list", r"heliowatch\.yaml holds no names and values"),
        ("5", r"heliowatch\.yaml holds no names and values"),
        ("log: {level: INFO}\nlog: {level: ERROR}", r"log is there twice(?s:.*)line 2"),
        ("instruments:\n  a: {kind: allsky}\n  a: {kind: halpha}", r"a is there twice(?s:.*)line 3"),
        ("instruments: {'': {kind: allsky}}", "is no name"),
        (f"instruments: {{{'x' * 65}: {{kind: allsky}}}}", "is no name"),
        ("instruments: {' a': {kind: allsky}}", "is no name"),
        ('instruments: {"a\\nb": {kind: allsky}}', "is no name"),
        ("a: [unclosed", "settings"),
        ("instruments: {a: {kind: allsky, patterns: []}}", r"instruments\.a\.patterns"),
        ("instruments: {a: {kind: allsky, patterns: ['']}}", r"instruments\.a\.patterns"),
        ("instruments: {a: {kind: allsky, patterns: ['2026/*.png']}}", r"instruments\.a\.patterns"),
        (
            "instruments: {a: {kind: allsky, watch: [in]}, b: {kind: halpha, watch: [./in]}}",
            r"a and b both take \* in .*/in: give them",
        ),
    ],
)
def test_a_wrong_value_is_named(text: str, words: str):
    write(text)
    with pytest.raises(SettingsError, match=f"(?s){words}"):
        load_settings()


def test_a_file_in_another_encoding_is_said_and_a_byte_order_mark_passed_over():
    Path("heliowatch.yaml").write_bytes("data_dir: vär".encode("latin-1"))
    with pytest.raises(SettingsError, match=r"heliowatch\.yaml is no UTF-8 text"):
        load_settings()
    Path("heliowatch.yaml").write_bytes("data_dir: vär".encode("utf-8-sig"))
    assert load_settings().data_dir == Path("vär")


def test_cameras_share_a_folder_by_the_names_of_their_files():
    write("instruments: {a: {kind: allsky, watch: [in], patterns: ['a*']}, b: {kind: halpha, watch: [in]}}")
    assert load_settings().instruments["b"].patterns == ["*"]


def test_a_list_in_the_environment_that_is_no_json_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HELIOWATCH_WATCH", "/data/in")
    with pytest.raises(SettingsError, match=r'"watch"(.*)written as JSON there, such as \["/data/in"\]'):
        load_settings()
    monkeypatch.setenv("HELIOWATCH_WATCH", '["/data/in"]')
    assert load_settings().watch == [Path("/data/in")]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("data_dir: ''", "data_dir"),
        ("watch: [in, '']", r"watch\.1"),
        ("instruments: {a: {kind: allsky, watch: ['']}}", r"instruments\.a\.watch\.0"),
        ("alerts: {rules: ''}", r"alerts\.rules"),
    ],
)
def test_an_empty_path_is_not_the_working_folder(text: str, name: str):
    write(text)
    with pytest.raises(SettingsError, match=f"^settings: {name}: is empty: write a path"):
        load_settings()


def test_an_empty_variable_is_no_data_folder(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HELIOWATCH_DATA_DIR", "")
    with pytest.raises(SettingsError, match=r"^settings: data_dir: is empty"):
        load_settings()


def test_a_tilde_is_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write("data_dir: ~/station\nwatch: [~/in, /data/~x]\n")
    made = load_settings()
    assert (made.data_dir, made.watch) == (tmp_path / "station", [tmp_path / "in", Path("/data/~x")])
    write("data_dir: ~nobody-of-that-name/station")
    with pytest.raises(SettingsError, match="data_dir: ~nobody-of-that-name/station: nothing tells whose"):
        load_settings()


def test_names_that_give_no_setting_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    given = "DATA_DIR LOG__LEVEL INSTRUMENTS__ROOF__KIND CONFIG SECRETS_DIR TEST_DATA"
    for name in given.split():
        monkeypatch.setenv(f"HELIOWATCH_{name}", str(tmp_path))
    monkeypatch.setenv("heliowatch_database_url", "")
    assert ignored_names() == []
    wrong = ["HELIOWATCH_DATABSE_URL", "HELIOWATCH_DATA_DIR__X", "HELIOWATCH_SERVICE_PORT", "HELIOWATCH__LOG"]
    for name in wrong:
        monkeypatch.setenv(name, "1")
    (tmp_path / "heliowatch_broker_url").touch()
    (tmp_path / "heliowatch_borker_url").touch()
    assert set(ignored_names()) == {*wrong, "heliowatch_borker_url"}


def test_a_folder_of_secrets_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HELIOWATCH_SECRETS_DIR", "nowhere")
    with pytest.raises(SettingsError, match="SECRETS_DIR names nowhere, which is no folder"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("sweeper: {keep_events_days: 1000000}", "sweeper.keep_events_days"),
        ("sweeper: {interval_s: .inf}", "sweeper.interval_s"),
        ("cutouts: {keep_days: .inf}", "cutouts.keep_days"),
        ("worker: {heartbeat_s: 1.0e+300, lease_s: 1.0e+301}", "worker.heartbeat_s"),
        ("instruments: {roof: {kind: allsky, lateness_s: 1.0e+10}}", "instruments.roof.lateness_s"),
    ],
)
def test_a_time_that_nothing_can_wait_for_is_refused(text: str, name: str):
    write(text)
    with pytest.raises(SettingsError, match=f"^settings: {name}: .* is too long; at most"):
        load_settings()


def test_names_that_are_merged_in_may_be_given_anew():
    write("instruments:\n  a: &one {kind: allsky, cadence_s: 20}\n  b: {<<: *one, cadence_s: 30}\n")
    made = load_settings().instruments
    assert (made["a"].cadence_s, made["b"].cadence_s, made["b"].kind) == (20, 30, "allsky")


def test_several_wrong_values_are_all_named():
    write("service: {port: many}\nlimits: {max_pixels: 0}\n")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert len(str(caught.value).splitlines()) == 2


def test_a_station_is_configured_without_code(tmp_path: Path):
    write(
        f"instruments: {{roof: {{kind: allsky, watch: [{tmp_path}], patterns: ['*.jpg'], cadence_s: 20}}}}\n"
    )
    made = load_settings()
    assert made.stations == {"roof": "allsky"}
    assert made.instruments["roof"].watch == [tmp_path]


def test_the_settings_know_their_json_schema():
    schema = Settings.model_json_schema()
    assert "instruments" in schema["properties"]
