"""`heliowatch doctor`: is everything in place, which values hold, and where did each come from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import typer

from heliowatch.alert_rules import read_file
from models import registry
from models.runtime import Runtime
from observatory.errors import HeliowatchError, ModelError, SettingsError
from observatory.settings import HOW_SETTINGS_ARE_NAMED, Settings, config_path, ignored_names
from observatory.settings_walk import walk
from observatory.storage import deployments
from observatory.storage.deployments import Line
from observatory.storage.session import Database

_LEAST_FREE_BYTES = 1 << 30
_FILES = 10_000  # looked at in a watch folder


@dataclass(frozen=True)
class Check:
    """One thing looked at."""

    name: str
    is_ok: bool
    detail: str


def run_doctor(settings: Settings, *, as_json: bool) -> int:
    """Print checks and settings; 1 when a check failed."""
    looked_at = list(checks(settings))
    values = [{"name": name, "value": value, "source": _source(name)} for name, value in _effective(settings)]
    if as_json:
        report = {"checks": [asdict(check) for check in looked_at], "settings": values}
        typer.echo(orjson.dumps(report, option=orjson.OPT_INDENT_2, default=str).decode())
    else:
        for check in looked_at:
            typer.echo(f"{'✓' if check.is_ok else '✗'} {check.name}: {check.detail}")
        typer.echo("")
        for line in values:
            typer.echo(f"{line['name']} = {line['value']}  ({line['source']})")
    return 0 if all(check.is_ok for check in looked_at) else 1


def checks(settings: Settings) -> Iterator[Check]:
    """Look at one thing after the other."""
    for name, look in (
        ("environment", _environment),
        ("database", _database),
        ("broker", _broker),
        ("product folder", _folder),
        ("watch folders", _watched),
        ("models", _models),
        ("deployed models", _deployed),
        ("device", _device),
        ("films", _films),
        ("alert rules", _alert_rules),
    ):
        yield _guarded(name, look, settings)


def _guarded(name: str, look: Callable[[Settings], str], settings: Settings) -> Check:
    try:
        return Check(name, True, look(settings))
    except (HeliowatchError, OSError) as error:
        return Check(name, False, str(error))
    except Exception as error:  # noqa: BLE001 - a doctor reports what is broken, whatever it is
        return Check(name, False, f"defect: {type(error).__name__}: {error}")


def _environment(_: Settings) -> str:
    ignored = ignored_names()
    if ignored:
        raise SettingsError(f"ignored, as no setting: {', '.join(ignored)}; {HOW_SETTINGS_ARE_NAMED}")
    return "every HELIOWATCH_… variable gives a setting"


def _database(settings: Settings) -> str:
    db = Database(settings.resolved_database_url)
    if db.is_sqlite and db.revision() is None:
        return "none yet; `heliowatch up` or `heliowatch db upgrade` makes it"
    db.check_schema()
    return f"{'SQLite' if db.is_sqlite else 'Postgres'}, schema {db.revision()}"


def _broker(settings: Settings) -> str:
    if settings.is_embedded:
        return "embedded, in this process (for `up`, `demo` and `backfill`)"
    from redis import Redis
    from redis.exceptions import RedisError

    try:
        client = Redis.from_url(settings.broker_url, socket_connect_timeout=2, socket_timeout=2)
        facts: dict[str, Any] = client.info()
    except RedisError as error:
        raise OSError(f"{_masked(settings.broker_url)} does not answer: {error}") from error
    journal = "on" if facts.get("aof_enabled") else "OFF: queued tasks wait for the sweeper after a crash"
    return f"Redis {facts.get('redis_version')}, append-only file {journal}"


def _folder(settings: Settings) -> str:
    settings.product_dir.mkdir(parents=True, exist_ok=True)
    if not os.access(settings.product_dir, os.W_OK):
        raise OSError(f"{settings.product_dir} may not be written to")
    free = shutil.disk_usage(settings.product_dir).free
    if free < _LEAST_FREE_BYTES:
        raise OSError(f"{settings.product_dir} has only {free / 1e9:.1f} GB left")
    return f"{settings.product_dir}, {free / 1e9:.0f} GB free"


def _watched(settings: Settings) -> str:
    folders = [*settings.watch, *(path for item in settings.instruments.values() for path in item.watch)]
    missing = [str(path) for path in folders if not path.is_dir()]
    if missing:
        raise OSError(f"not there: {', '.join(missing)}")
    closed = [str(path) for path in folders if not os.access(path, os.R_OK | os.X_OK)]
    if closed:
        raise OSError(f"may not be read by this user: {', '.join(closed)}")
    unfit = [said for said in map(partial(_unfit, settings), settings.instruments) if said is not None]
    if unfit:
        raise OSError("; ".join(unfit))
    return ", ".join(str(path) for path in folders) or "none configured"


def _unfit(settings: Settings, name: str) -> str | None:
    """What is wrong when files lie in a camera's folders that nobody takes, and none that the camera takes."""
    from workers.watching import WatchFolder, walk, watch_folders

    folders, temporary = watch_folders(settings), settings.ingest.temporary
    for mine in (folder for folder in folders if folder.instrument == name):
        sharers = [folder for folder in folders if folder.path == mine.path]
        others = tuple(f"{folder.path}/" for folder in folders if mine.path in folder.path.parents)
        paths = [Path(path) for path, _ in islice(walk(mine.path), _FILES) if not path.startswith(others)]
        names = [path.name for path in paths if WatchFolder(mine.path).wants(path.name, temporary)]
        left = [one for one in names if not any(folder.wants(one, temporary) for folder in sharers)]
        if left and not any(mine.wants(one, temporary) for one in names):
            patterns = ", ".join(mine.patterns)
            return f"{name}: no file in {mine.path} fits its patterns ({patterns}); there is {left[0]!r}"
    return None


def _models(settings: Settings) -> str:
    found = registry.find_models()
    for model in found.values():
        model.verify()
    if not found:
        raise ModelError("no model ships with this installation")
    return ", ".join(f"{model.name} {model.version}" for model in found.values())


def _deployed(settings: Settings) -> str:
    """Networks that run or try in place of those that ship, their files checked."""
    line = _line(settings)
    if line is None:
        return "none; there is no database yet"
    said = []
    for one in (*line.live, *line.candidates):
        registry.read_deployed(settings.data_dir / one.folder, one.model_name)
        said.append(f"{one.model_name} {one.model_version} ({one.model_sha256[:12]}…) {one.role.value}")
    return ", ".join(said) or "none: every model runs the network that ships"


def _line(settings: Settings) -> Line | None:
    db = Database(settings.resolved_database_url)
    if db.is_sqlite and db.revision() is None:
        return None
    db.check_schema()
    return deployments.line(db)


def _networks(settings: Settings) -> dict[str, Path]:
    """Folders of the live networks; none where the database is away, which has a line of its own."""
    try:
        line = _line(settings)
    except (HeliowatchError, OSError):
        return {}
    return {} if line is None else {one.model_name: settings.data_dir / one.folder for one in line.live}


def _device(settings: Settings) -> str:
    from workers.pipelines import Pipelines

    runtime = Runtime(
        device=settings.runtime.device.value,
        networks=settings.enhancement.networks,
        disturbance=settings.disturbance_models,
    )
    made = Pipelines(
        runtime, _networks(settings)
    ).all()  # makes every network ready, as a worker does when it starts
    return f"{settings.runtime.device.value} asked for, {runtime.provider} given; {len(made)} pipelines ready"


def _films(settings: Settings) -> str:
    """Where ffmpeg is; without it everything but `movie` works, so its absence is no failure."""
    from workers.products.film import find_ffmpeg

    try:
        return find_ffmpeg(settings.films)
    except SettingsError as error:
        return str(error)


def _alert_rules(settings: Settings) -> str:
    path = settings.alerts.rules
    if path is None:
        return "none: nothing raises an alert (alerts.rules)"
    return f"{path}, {len(read_file(settings, path).rules)} rules"


def _effective(settings: Settings) -> Iterator[tuple[str, object]]:
    for name, value in walk(settings.model_dump(mode="json")):
        yield name, _masked(value) if isinstance(value, str) else value


def _masked(text: str) -> str:
    """Hide the password of a URL."""
    head, at, tail = text.rpartition("@")
    scheme, colon, _ = head.partition("://")
    user = head.removeprefix(f"{scheme}://").partition(":")[0]
    return (
        f"{scheme}://{user}:•••@{tail}" if at and colon and ":" in head.removeprefix(f"{scheme}://") else text
    )


def _source(name: str) -> str:
    variable = "HELIOWATCH_" + name.upper().replace(".", "__")
    for length in range(len(variable.split("__")), 0, -1):
        part = "__".join(variable.split("__")[:length])
        if part in os.environ:
            return f"environment {part}"
        secrets = os.environ.get("HELIOWATCH_SECRETS_DIR")
        if secrets and os.path.exists(os.path.join(secrets, part.lower())):  # noqa: PTH110, PTH118
            return f"secret file {part.lower()}"
    if config_path().is_file() and _is_in_file(name):
        return f"file {config_path()}"
    return "default"


def _is_in_file(name: str) -> bool:
    import yaml

    node: Any = yaml.safe_load(config_path().read_text()) or {}
    for key in name.split("."):
        if not isinstance(node, dict) or key not in node:
            return False
        node = node[key]
    return True
