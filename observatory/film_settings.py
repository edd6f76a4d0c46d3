"""Settings of films, and of the nights of all-sky cameras; part of `observatory.settings`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

Preset = Literal[
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"
]
"""What ffmpeg's libx264 knows as ``-preset``."""


class FilmSettings(BaseModel, extra="forbid"):
    """How films are made."""

    fps: float = Field(default=24.0, gt=0, le=120, description="pictures a second")
    size: int = Field(default=1024, ge=64, le=8192, description="height in pixels")
    crf: int = Field(default=18, ge=0, le=51, description="H.264 quality: 18 looks lossless, 28 is small")
    preset: Preset = Field(default="medium", description="H.264 effort: the slower, the smaller the film")
    longest_gap_s: float = Field(
        default=1.0, gt=0, description="a gap is shown no longer than so many seconds of film"
    )
    ffmpeg: str = Field(default="ffmpeg", description="name or path of the program")


class NightSettings(BaseModel, extra="forbid"):
    """Pictures and films of the nights of all-sky cameras."""

    rebuild_s: float = Field(
        default=60.0, gt=0, description="seconds between two makings of a night's keogram and ewogram"
    )
    films: bool = Field(default=True, description="make a film of each night when it has ended")
    film_size: int = Field(default=720, ge=64, le=4096, description="height in pixels")
    film_fps: float = Field(default=24.0, gt=0, le=120, description="pictures a second")
    film_days: float = Field(
        default=7.0, gt=0, description="nights that ended longer ago, such as an archive's, get no film"
    )
