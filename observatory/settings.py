"""The only settings class, and the only reader of the environment.

Values come, first wins, from the environment (``HELIOWATCH_…``, ``__`` for nesting), from secret
files in the folder ``HELIOWATCH_SECRETS_DIR`` names, and from ``heliowatch.yaml`` (or the file that
``HELIOWATCH_CONFIG`` names).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as UnparsedError

from observatory.addresses import BrokerUrl, DatabaseUrl
from observatory.camera import Stations
from observatory.errors import SettingsError
from observatory.film_settings import FilmSettings, NightSettings
from observatory.instrument_settings import Instruments
from observatory.instrument_settings import InstrumentSettings as InstrumentSettings
from observatory.instruments import instrument_names, kind_of
from observatory.instruments.formats import Limits
from observatory.model_settings import ModelSettings
from observatory.notification_settings import NotificationSettings
from observatory.observing import Plan
from observatory.service_settings import PublisherSettings, ServiceSettings
from observatory.setting_paths import SettingPath
from observatory.settings_file import SettingsFile
from observatory.settings_walk import check_lengths, meant

_PREFIX = "HELIOWATCH_"
_NO_SETTINGS = {f"{_PREFIX}{name}" for name in ("CONFIG", "SECRETS_DIR", "TEST_DATA")}  # read by themselves


HOW_SETTINGS_ARE_NAMED = "`heliowatch doctor` prints all settings; `__` stands between the levels of a name"


class Device(StrEnum):
    """Where networks run."""

    CPU = "cpu"
    CUDA = "cuda"


class FullDisk(StrEnum):
    """Which full disks are enhanced as they arrive."""

    AUTO = "auto"
    EVERY = "every"
    OFF = "off"


class LimitsSettings(BaseModel, extra="forbid"):
    """What one file may cost at most."""

    max_file_bytes: int = Field(default=1 << 30, gt=0)
    max_unpacked_bytes: int = Field(default=1 << 30, gt=0)
    max_pixels: int = Field(default=150_000_000, gt=0)
    max_images: int = Field(default=2000, gt=0, description="frames in one file")

    @property
    def as_limits(self) -> Limits:
        """The same, as reading takes it."""
        return Limits(self.max_file_bytes, self.max_unpacked_bytes, self.max_pixels, self.max_images)


class IngestSettings(BaseModel, extra="forbid"):
    """How folders are watched."""

    rest_s: float = Field(default=0.5, gt=0, description="rest of a file that cannot tell its own end")
    open_rest_s: float = Field(
        default=30.0, gt=0, description="patience with an unfinished file that a writer still holds open"
    )
    scan_interval_s: float = Field(default=20.0, gt=0, description="seconds between reconciling scans")
    polling: bool = Field(default=False, description="poll, for network file systems without events")
    polling_interval_s: float = Field(default=1.0, gt=0)
    temporary: list[str] = Field(default_factory=lambda: [".*", "*.tmp", "*.part"])
    batch: int = Field(default=256, ge=1, description="rows a transaction in a burst")


class WorkerSettings(BaseModel, extra="forbid"):
    """How work is done and taken back."""

    processes: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, le=1024)
    max_attempts: int = Field(default=5, ge=1)
    heartbeat_s: float = Field(default=3.0, gt=0)
    lease_s: float = Field(default=12.0, gt=0, description="silence after which a worker counts as dead")
    metrics_port: int | None = Field(
        default=None, ge=1, le=65535, description="port of the own /metrics of a `worker` or `ingest`"
    )


class SweeperSettings(BaseModel, extra="forbid"):
    """How often the database is compared with the queue."""

    interval_s: float = Field(default=5.0, gt=0)
    unclaimed_s: float = Field(default=10.0, gt=0, description="a published frame may wait this long")
    batch: int = Field(default=1000, ge=1)
    keep_events_days: float = Field(default=14.0, gt=0)


class RuntimeSettings(BaseModel, extra="forbid"):
    """What runs the networks."""

    device: Device = Device.CPU
    threads: int = Field(default=1, ge=1, le=256, description="threads inside one network call")


class EnhancementSettings(BaseModel, extra="forbid"):
    """How frames of the photosphere are enhanced as they arrive.

    Patches of up to 2048 pixels always are, and whatever `analyse`, `reprocess` and cut-outs ask for.
    """

    full_disk: FullDisk = Field(
        default=FullDisk.AUTO,
        description="larger frames: auto is every one on a GPU, and on a CPU as many as cpu_share has time for; "
        "every; off",
    )
    cpu_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="of a worker process's time that full disks may take on a CPU; one that is passed over says so",
    )
    networks: list[SettingPath] = Field(
        default_factory=list,
        description="folders with manifest.toml and network, in place of the shipped ones: one for each quantity, "
        "as `models import hmi_enhancement` or a training writes them",
    )


_Three = tuple[float, float, float]
_MIXING = ((1.0, 0.6, -0.3), (0.0, 1.0, 0.1), (0.0, 0.1, 1.0))


class LookSettings(BaseModel, extra="forbid", frozen=True):
    """How three channels become red, green and blue.

    The default is the published one (AIA-reloaded, its default mixer): the mixing takes the green
    out of the loops of 171, the gains turn the whole a little towards green and yellow.
    """

    channels: tuple[str, str, str] = Field(
        default=("aia-304", "aia-171", "aia-193"), description="instruments shown as red, green, blue"
    )
    percentiles_low: _Three = Field(default=(25.0, 25.0, 25.0), description="of the reference frame: black")
    percentiles_high: _Three = Field(
        default=(99.5, 99.99, 99.85), description="of the reference frame: full brightness"
    )
    levels: tuple[tuple[float, float], tuple[float, float], tuple[float, float]] | None = Field(
        default=None, description="black and full brightness in DN/s, instead of percentiles"
    )
    gamma: _Three = Field(default=(2.8, 2.8, 2.4), description="of frames in counts")
    picture_gamma: _Three = Field(
        default=(1.2, 1.2, 1.1), description="of browse pictures, which are compressed already"
    )
    mixing: tuple[_Three, _Three, _Three] = Field(
        default=_MIXING, description="rows red, green, blue of the picture; columns the channels"
    )
    stretch: float = Field(default=20.0, ge=0, lt=255, description="brightness of 255 that becomes black")
    lab_gains: _Three = Field(
        default=(1.0, 0.96, 1.04), description="of CIELab's L, a and b at 8 bits, where 128 is neutral"
    )

    @field_validator("channels")
    @classmethod
    def _are_three_known(cls, value: tuple[str, str, str]) -> tuple[str, str, str]:
        unknown = sorted(set(value) - set(instrument_names()))
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: not known; write instruments such as aia-304")
        if len(set(value)) != 3:
            raise ValueError("three different instruments are wanted")
        return value

    @field_validator("gamma", "picture_gamma")
    @classmethod
    def _are_positive(cls, value: _Three) -> _Three:
        if min(value) <= 0:
            raise ValueError("a gamma must be above 0")
        return value

    @model_validator(mode="after")
    def _low_lies_below_high(self) -> LookSettings:
        percentiles = zip(self.percentiles_low, self.percentiles_high, strict=True)
        if not all(0 <= low < high <= 100 for low, high in percentiles):
            raise ValueError("percentiles lie between 0 and 100, low below high")
        if self.levels is not None and not all(low < high for low, high in self.levels):
            raise ValueError("levels: low must lie below high")
        return self


_KNOWN_LOOKS = {
    "aia": LookSettings(),
    # Cool, hotter, hottest from red to blue is the wrong way round for the eye: 211 is shown red.
    "corona": LookSettings(
        channels=("aia-211", "aia-193", "aia-171"),
        percentiles_high=(99.9, 99.9, 99.9),
        gamma=(2.6, 2.6, 2.6),
        mixing=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
        lab_gains=(1.0, 1.0, 1.0),
    ),
}


class CompositeSettings(BaseModel, extra="forbid"):
    """Colour pictures of three channels."""

    looks: dict[str, LookSettings] = Field(
        default_factory=dict, description="further looks, or others in place of aia and corona"
    )
    live: list[str] = Field(default=["aia"], description="looks that are composed as frames arrive")
    with_backfill: bool = Field(default=False, description="compose an archive's frames, too")
    tolerance_s: float | None = Field(
        default=None, gt=0, description="longest span of a set; empty: 3/4 of the cadence, 9 s to 60 s"
    )
    late_s: float = Field(
        default=300.0, gt=0, description="patience with a missing channel before a marked picture is made"
    )
    sizes: list[Annotated[int, Field(ge=256, le=4096)]] = Field(
        default=[512, 1024, 2048], min_length=1, description="sides in pixels of live pictures"
    )
    jpeg_quality: int = Field(default=95, ge=1, le=100)
    degradation_table: SettingPath | None = Field(
        default=None, description="aiapy's correction table; channels are then brightened by their loss"
    )

    @property
    def all_looks(self) -> dict[str, LookSettings]:
        """Looks by name, ours and those of the settings."""
        return _KNOWN_LOOKS | self.looks

    @model_validator(mode="after")
    def _live_looks_exist(self) -> CompositeSettings:
        unknown = [name for name in self.live if name not in self.all_looks]
        if unknown:
            raise ValueError(f"live: no look is named {unknown[0]}; known are {', '.join(self.all_looks)}")
        return self


class CutoutSettings(BaseModel, extra="forbid"):
    """Parts of frames that are enhanced when somebody asks for them."""

    max_pixels: int = Field(default=1 << 22, gt=0, description="pixels of a frame in one cut-out")
    max_under_way: int = Field(default=100, ge=1, description="cut-outs that wait or are made at once")
    patience_s: float = Field(
        default=20.0, ge=0, le=300, description="how long a request waits for its cut-out, unless it says"
    )
    most_patience_s: float = Field(
        default=60.0, ge=0, le=300, description="longest that a request may wait, whatever it says"
    )
    most_waiting: int = Field(
        default=32, ge=0, description="requests that wait at once; others are told where to ask again"
    )
    keep_days: float = Field(default=30.0, gt=0, description="after which what nobody asked for is removed")


class AlertSettings(BaseModel, extra="forbid"):
    """Rules by which alerts fire, and how closely they are watched."""

    rules: SettingPath | None = Field(
        default=None, description="the file of the rules; a changed one counts at once, unless it is broken"
    )
    poll_s: float = Field(default=0.5, gt=0, le=60, description="seconds between looks at what happened")
    lease_s: float = Field(
        default=10.0, ge=1, description="silence after which another process does the watching"
    )
    batch: int = Field(default=500, ge=1, le=5000, description="events of one transaction")
    keep_days: float = Field(default=400.0, gt=0, description="how long ended alerts are kept")


class LogSettings(BaseModel, extra="forbid"):
    """How we log."""

    level: str = "INFO"
    as_json: bool = Field(default=False, description="one JSON object a line, for production")


class Settings(BaseSettings):
    """All settings of Heliowatch."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        nested_model_default_partial_update=True,
    )

    data_dir: SettingPath = Field(
        default=Path("var/heliowatch"), description="database (SQLite) and products"
    )
    database_url: DatabaseUrl = Field(default="", description="empty: SQLite inside data_dir")
    broker_url: BrokerUrl = Field(default="memory://", description="redis://… in production")
    server: str = Field(
        default="",
        description="address of the server that `query` asks; empty: the service of these settings",
    )
    key: SecretStr | None = Field(default=None, description="key that `query` shows to that server")
    watch: list[SettingPath] = Field(
        default_factory=list, description="folders with frames of several instruments"
    )
    instruments: Instruments = Field(default_factory=dict)
    limits: LimitsSettings = Field(default_factory=LimitsSettings)
    ingest: IngestSettings = Field(default_factory=IngestSettings)
    worker: WorkerSettings = Field(default_factory=WorkerSettings)
    sweeper: SweeperSettings = Field(default_factory=SweeperSettings)
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)
    service: ServiceSettings = Field(default_factory=ServiceSettings)
    enhancement: EnhancementSettings = Field(default_factory=EnhancementSettings)
    composites: CompositeSettings = Field(default_factory=CompositeSettings)
    films: FilmSettings = Field(default_factory=FilmSettings)
    nights: NightSettings = Field(default_factory=NightSettings)
    cutouts: CutoutSettings = Field(default_factory=CutoutSettings)
    models: ModelSettings = Field(default_factory=ModelSettings)
    publisher: PublisherSettings = Field(default_factory=PublisherSettings)
    alerts: AlertSettings = Field(default_factory=AlertSettings)
    notifications: NotificationSettings = Field(default_factory=NotificationSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    @model_validator(mode="after")
    def _lease_outlasts_heartbeat(self) -> Settings:
        if self.worker.lease_s < 2 * self.worker.heartbeat_s:
            raise ValueError("worker.lease_s must be at least twice worker.heartbeat_s")
        return self

    @model_validator(mode="after")
    def _lengths_can_be_waited_for(self) -> Settings:
        check_lengths(self.model_dump())
        return self

    @cached_property
    def resolved_database_url(self) -> str:
        """URL of the database, the embedded one when none is set."""
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'heliowatch.db'}"

    @property
    def product_dir(self) -> Path:
        """Folder of the product files."""
        return self.data_dir / "products"

    @property
    def upload_dir(self) -> Path:
        """Folder of files that came through the API; the ingester watches it."""
        return self.data_dir / "uploads"

    @property
    def spool_dir(self) -> Path:
        """Folder of files that are just arriving; on the file system of `upload_dir`."""
        return self.data_dir / "spool"

    @property
    def stations(self) -> Stations:
        """Configured instruments: own name to the kind's name, and what is said of their cameras."""
        cameras = {
            name: instrument.camera(instrument.site.as_site if instrument.site else None)
            for name, instrument in self.instruments.items()
        }
        return Stations({name: one.kind for name, one in self.instruments.items()}, cameras)

    @property
    def disturbance_models(self) -> dict[str, Path]:
        """Instruments that have a model of their station's magnetic disturbance, and where it is."""
        given = {name: instrument.disturbance for name, instrument in self.instruments.items()}
        return {name: path for name, path in given.items() if path is not None}

    def plan(self, instrument: str) -> Plan:
        """When frames of an instrument are to be expected, as far as settings and its kind tell."""
        station = self.instruments.get(instrument)
        if station is not None:
            return station.plan(kind_of(station.kind).observing(station.kind))
        known = instrument in instrument_names()
        return Plan(kind_of(instrument).observing(instrument)) if known else Plan()

    @property
    def is_embedded(self) -> bool:
        """Whether the queue lives inside this process."""
        return self.broker_url.startswith("memory:")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, environment, secret files, the YAML file."""
        return (
            init_settings,
            env_settings,
            file_secret_settings,
            SettingsFile(settings_cls, config_path()),
        )


def config_path() -> Path:
    """Path of the settings file: ``HELIOWATCH_CONFIG``, else ``heliowatch.yaml`` here."""
    return Path(os.environ.get("HELIOWATCH_CONFIG", "heliowatch.yaml"))


def test_data_dir() -> Path | None:
    """Folder of real frames for training and testing (``HELIOWATCH_TEST_DATA``), when there is one."""
    named = os.environ.get("HELIOWATCH_TEST_DATA")
    return Path(named) if named and Path(named).is_dir() else None


def ignored_names() -> list[str]:
    """Variables and secret files with our prefix that give no setting: slips of the pen, or somebody else's."""
    secrets = os.environ.get("HELIOWATCH_SECRETS_DIR")
    files = Path(secrets).iterdir() if secrets and os.access(secrets, os.R_OK) else []
    found = [*os.environ, *(path.name for path in files)]
    return sorted(name for name in found if name.upper().startswith(_PREFIX) and not _is_used(name.upper()))


def _is_used(name: str) -> bool:
    first, *inner = name.removeprefix(_PREFIX).lower().split("__")
    if first not in Settings.model_fields:
        return name in _NO_SETTINGS
    return not inner or Settings.model_fields[first].default_factory not in (None, list)


def load_settings(**overrides: object) -> Settings:
    """Read the settings.

    Raises
    ------
    SettingsError
        With one line for each value that is wrong, naming it.
    """
    secrets = os.environ.get("HELIOWATCH_SECRETS_DIR")
    if "HELIOWATCH_CONFIG" in os.environ and not config_path().is_file():
        raise SettingsError(f"HELIOWATCH_CONFIG names {config_path()}, which is not there")
    if secrets and not Path(secrets).is_dir():
        raise SettingsError(f"HELIOWATCH_SECRETS_DIR names {secrets}, which is no folder")
    try:
        return Settings(_secrets_dir=secrets, **overrides)  # type: ignore[arg-type]
    except (ValueError, OSError, yaml.YAMLError) as error:
        raise SettingsError(_readable(error)) from error


def _readable(error: Exception) -> str:
    if isinstance(error, UnparsedError):
        return f'settings: {error}: lists and groups are written as JSON there, such as ["/data/in"]'
    lines = getattr(error, "errors", None)
    if lines is None:
        return f"settings: {error}"
    return "\n".join(f"settings: {_place(line['loc'])}{_complaint(line)}" for line in lines())


def _complaint(line: Mapping[str, Any]) -> str:
    kind, given = line["type"], line["input"]
    if kind == "extra_forbidden":
        return f"there is no such setting; {meant(Settings, line['loc'])}"
    if given is None:
        return "is empty: write something, or leave its name out, too"
    if kind == "list_type" and isinstance(given, str | int):
        return f"write a list, such as {json.dumps([given], ensure_ascii=False)}"
    if kind in ("dict_type", "model_type", "model_attributes_type"):
        return "write names and values under it"
    if kind == "union_tag_not_found":
        return f"lacks {line['ctx']['discriminator']}: docs/alerts.md shows one of each"
    if kind == "union_tag_invalid":
        return f"{line['ctx']['discriminator']} has to be one of {line['ctx']['expected_tags']}"
    if kind == "string_type" and isinstance(given, bool | int | float | date):
        return "write it in quotes: YAML takes it for a number, a date, or yes or no"
    return str(line["msg"]).removeprefix("Value error, ")


def _place(location: tuple[int | str, ...]) -> str:
    return f"{'.'.join(map(str, location))}: " if location else ""  # what holds for several names them itself
