"""Looking into films: their facts and their pictures."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

needs_ffmpeg = pytest.mark.skipif(
    shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None, reason="ffmpeg is not installed"
)


@dataclass(frozen=True)
class Film:
    width: int
    height: int
    seconds: float
    codec: str
    pixel_format: str
    pictures: np.ndarray  # (number, height, width, 3), red, green, blue

    @classmethod
    def open(cls, path: Path) -> Film:
        said = _run("ffprobe", "-v", "error", "-show_streams", "-of", "json", path)
        (stream,) = json.loads(said)["streams"]
        raw = _run("ffmpeg", "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1")
        width, height = stream["width"], stream["height"]
        return cls(
            width,
            height,
            float(stream["duration"]),
            stream["codec_name"],
            stream["pix_fmt"],
            np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3),
        )


def _run(*command: object) -> bytes:
    return subprocess.run([str(word) for word in command], check=True, capture_output=True).stdout
