"""Settings of the instruments of a station; part of `observatory.settings`."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator, model_validator

from observatory.camera_settings import CameraSettings
from observatory.errors import NoSuchInstrumentError
from observatory.instruments import instrument_names, kind_of
from observatory.observing_settings import ObservingSettings
from observatory.setting_paths import SettingPath

_NAME = re.compile(r"(?! )[^\x00-\x1f\x7f]{1,64}(?<! )")  # as filters and the database take it


class InstrumentSettings(ObservingSettings, CameraSettings, extra="forbid"):
    """One station's camera."""

    kind: str = Field(description="name of a known instrument or kind, such as kso-halpha or halpha")
    watch: list[SettingPath] = Field(
        default_factory=list, description="folders that only this camera writes to"
    )
    patterns: list[Annotated[str, Field(pattern="^[^/]+$")]] = Field(
        default_factory=lambda: ["*"], min_length=1, description="names of files that count, without folders"
    )
    disturbance: SettingPath | None = Field(
        default=None,
        description="of all-sky cameras: the .toml of a model that tells the magnetic disturbance from the sky, "
        "as `sky disturbance train` writes it",
    )

    @field_validator("kind")
    @classmethod
    def _is_known(cls, value: str) -> str:
        try:
            kind_of(value)
        except NoSuchInstrumentError as error:
            raise ValueError(str(error)) from error  # pydantic then says which setting it is
        return value

    @model_validator(mode="after")
    def _site_is_known(self) -> InstrumentSettings:
        self.check_site(kind_of(self.kind).observing(self.kind))
        return self

    @model_validator(mode="after")
    def _camera_is_of_the_sky(self) -> InstrumentSettings:
        if self.says_anything and kind_of(self.kind).family != "allsky":
            raise ValueError("fisheye, skymap, mask, name_time and timezone are for all-sky cameras alone")
        return self


def _are_apart(instruments: dict[str, InstrumentSettings]) -> dict[str, InstrumentSettings]:
    """Refuse names that are none or mean another kind, and cameras of which one would take the other's files."""
    taken: dict[tuple[Path, str], str] = {}
    for name, instrument in instruments.items():
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name[:80]!r} is no name: write 1 to 64 printable characters, no blanks around"
            )
        if name in instrument_names() and kind_of(name) is not kind_of(instrument.kind):
            raise ValueError(f"{name} is a known instrument of another kind than {instrument.kind}")
        for place in product({path.resolve() for path in instrument.watch}, set(instrument.patterns)):
            other = taken.setdefault(place, name)
            if other != name:
                raise ValueError(
                    f"{other} and {name} both take {place[1]} in {place[0]}: give them folders or patterns of their own"
                )
    return instruments


Instruments = Annotated[dict[str, InstrumentSettings], AfterValidator(_are_apart)]
"""Settings by the instrument's name."""
