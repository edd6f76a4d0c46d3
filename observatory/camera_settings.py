"""What settings say of an all-sky camera."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field, field_validator, model_validator

from observatory.camera import Camera, Lens
from observatory.camera_clock import Clock, zone
from observatory.fisheye import Projection
from observatory.setting_paths import SettingPath
from observatory.sky import Site


class FisheyeSettings(BaseModel, extra="forbid"):
    """How a lens lies on the detector; empty: the sky's circle is sought in each picture.

    Pixels are those of the file, counted from 0; rows from the top of pictures and from the first row of
    FITS files.
    """

    center_x_px: float | None = Field(default=None, allow_inf_nan=False, description="pixel of the zenith")
    center_y_px: float | None = Field(default=None, allow_inf_nan=False)
    radius_px: float | None = Field(default=None, gt=1, allow_inf_nan=False, description="to the horizon")
    radius_y_px: float | None = Field(
        default=None, gt=1, allow_inf_nan=False, description="along a column, where pixels are not square"
    )
    max_zenith_deg: float = Field(
        default=90.0, gt=10, le=120, description="zenith distance at that radius: 90 is the horizon"
    )
    projection: Projection = Projection.EQUIDISTANT
    up_azimuth_deg: float | None = Field(
        default=None,
        ge=-360,
        le=360,
        description="azimuth towards row 0, from north over east; empty: unknown",
    )
    is_clockwise: bool = Field(
        default=False, description="whether azimuths grow clockwise, as on a map, when row 0 is at the top"
    )
    width_px: int | None = Field(
        default=None, ge=16, description="size of the pictures in which it was measured, where frames differ"
    )
    height_px: int | None = Field(default=None, ge=16)

    @model_validator(mode="after")
    def _is_whole(self) -> FisheyeSettings:
        circle = (self.center_x_px, self.center_y_px, self.radius_px)
        if None in circle and any(part is not None for part in circle):
            raise ValueError("center_x_px, center_y_px and radius_px belong together: give all or none")
        if self.radius_y_px is not None and self.radius_px is None:
            raise ValueError("radius_y_px needs center_x_px, center_y_px and radius_px")
        if (self.width_px is None) is not (self.height_px is None):
            raise ValueError("width_px and height_px belong together: give both or none")
        return self

    @property
    def as_lens(self) -> Lens:
        """The same, as frames take it."""
        return Lens(**self.model_dump())


class CameraSettings(BaseModel, extra="forbid"):
    """What is said of an all-sky camera beside its site; of no meaning for other instruments."""

    fisheye: FisheyeSettings | None = Field(default=None, description="lens and orientation")
    skymap: SettingPath | None = Field(
        default=None, description="calibration in the networks' form (.sav, .h5, .npz), in place of fisheye"
    )
    mask: SettingPath | None = Field(default=None, description="PNG, white where the sky is seen; any size")
    hot_pixels: SettingPath | None = Field(
        default=None,
        description="PNG, white where a pixel is hot; of the frames' size (`sky hot-pixels` makes it)",
    )
    name_time: str | None = Field(
        default=None, description='how file names tell the time, such as "sky_%Y%m%d_%H%M%S*"'
    )
    timezone: str = Field(default="UTC", description="of file names and EXIF, such as Europe/Oslo or UTC+1")

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        zone(value)
        return value

    @field_validator("name_time")
    @classmethod
    def _is_pattern(cls, value: str | None) -> str | None:
        Clock(value)
        return value

    @field_validator("skymap", "mask", "hot_pixels")
    @classmethod
    def _is_there(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError(f"{value} is not there, or is no file")
        return value

    @model_validator(mode="after")
    def _has_one_geometry(self) -> CameraSettings:
        if self.fisheye is not None and self.skymap is not None:
            raise ValueError("write either fisheye or skymap: they say the same")
        return self

    @property
    def says_anything(self) -> bool:
        """Whether anything of it was set."""
        return bool(
            {"fisheye", "skymap", "mask", "hot_pixels", "name_time", "timezone"} & self.model_fields_set
        )

    def camera(self, site: Site | None) -> Camera:
        """The same, as frames take it."""
        return Camera(
            site=site,
            lens=None if self.fisheye is None else self.fisheye.as_lens,
            mask=self.mask,
            hot_pixels=self.hot_pixels,
            skymap=self.skymap,
            clock=Clock(self.name_time, self.timezone),
        )
