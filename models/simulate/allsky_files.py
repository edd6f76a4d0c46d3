"""Simulated all-sky pictures as files: PNG and JPEG, films of PGM images as THEMIS's cameras write, FITS.

Every file says of itself that it is simulated: in its header, its text or its EXIF, and in its name.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from models.simulate.allsky_sites import SimulatedSite

Pixels = NDArray[np.generic]

SIMULATED = "SIMULATED: no camera has taken this picture"


def sky_file_name(place: SimulatedSite, date_obs: datetime, suffix: str) -> str:
    """``allsky-sim-SITE_YYYYMMDD_HHMMSS.SUFFIX`` for the start of an exposure."""
    return f"allsky-sim-{place.name}_{date_obs.astimezone(UTC):%Y%m%d_%H%M%S}{suffix}"


def write_picture(
    folder: Path,
    pixels: Pixels,
    date_obs: datetime,
    place: SimulatedSite,
    *,
    suffix: str = ".jpg",
    exposure_time_s: float = 4.0,
    quality: int = 90,
) -> Path:
    """Write one picture as JPEG (8 bit) or PNG.

    Parameters
    ----------
    pixels : ndarray, shape (height, width) or (height, width, 3), uint8 or uint16
        16 bits need PNG and one channel.
    date_obs : datetime
        Start of the exposure, aware.

    Raises
    ------
    ValueError
        When the format does not hold such pixels.
    """
    if pixels.dtype != np.uint8 and (suffix != ".png" or pixels.ndim == 3):
        raise ValueError(
            f"{suffix} does not hold {pixels.dtype} pixels of shape {pixels.shape}: write FITS or PGM"
        )
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    out = io.BytesIO()
    if suffix == ".png":
        picture.save(out, "PNG", pnginfo=_png_facts(date_obs, place, exposure_time_s))
    else:
        picture.save(out, "JPEG", quality=quality, exif=_exif(date_obs, place, exposure_time_s))
    return _written(folder / sky_file_name(place, date_obs, suffix), out.getvalue())


def write_film(
    folder: Path,
    frames: Sequence[tuple[datetime, Pixels]],
    place: SimulatedSite,
    *,
    exposure_time_s: float = 1.0,
) -> Path:
    """Write grey frames as a film, one binary PGM image after another, gzipped: ``…_full.pgm.gz``.

    The comments of each image carry the keys of THEMIS's cameras; those that hold for all stand in the
    first image only, as there.
    """
    parts = []
    for number, (moment, pixels) in enumerate(frames):
        if pixels.ndim != 2:
            raise ValueError(f"a PGM film holds grey images, not pixels of shape {pixels.shape}")
        facts = _film_facts(moment, exposure_time_s)
        if number == 0:
            facts = _camera_facts(place) | facts
        comments = "".join(f'#"{key}" {value}\n' for key, value in facts.items())
        height, width = pixels.shape
        peak = 255 if pixels.dtype == np.uint8 else 65535
        parts.append(f"P5\n{comments}{width} {height}\n{peak}\n".encode("ascii"))
        parts.append(pixels.astype(np.uint8 if peak == 255 else ">u2").tobytes())
    first = frames[0][0].astimezone(UTC)
    name = f"{first:%Y%m%d_%H%M}_{place.name}_allsky-sim_full.pgm.gz"
    return _written(folder / name, gzip.compress(b"".join(parts), compresslevel=1, mtime=0))


def write_sky_fits(
    folder: Path, pixels: Pixels, date_obs: datetime, place: SimulatedSite, *, exposure_time_s: float = 30.0
) -> Path:
    """Write one grey frame as FITS; row 0 of the picture becomes the last of the file, as FITS counts upwards."""
    site = place.site
    header = fits.Header()
    for key, value, text in (
        ("SIMULATD", True, SIMULATED),
        (
            "DATE-OBS",
            f"{date_obs.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{date_obs.microsecond // 1000:03d}",
            "UTC",
        ),
        ("EXPTIME", exposure_time_s, "s"),
        ("INSTRUME", "ALLSKY-SIM", ""),
        ("OBSERVAT", f"Simulated {place.name}", ""),
        ("OBSLAT", site.latitude_deg, "degrees north"),
        ("OBSLONG", site.longitude_deg, "degrees east"),
        ("OBSALT", site.height_m, "m"),
    ):
        header[key] = (value, text)
    out = io.BytesIO()
    fits.PrimaryHDU(np.ascontiguousarray(pixels[::-1]), header).writeto(out)
    return _written(folder / sky_file_name(place, date_obs, ".fits"), out.getvalue())


def _png_facts(date_obs: datetime, place: SimulatedSite, exposure_time_s: float) -> PngInfo:
    facts = PngInfo()
    for key, value in (
        ("SIMULATD", "T"),
        ("Comment", SIMULATED),
        ("DATE-OBS", f"{date_obs.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{date_obs.microsecond // 1000:03d}"),
        ("EXPTIME", f"{exposure_time_s:g}"),
        ("OBSLAT", f"{place.site.latitude_deg:.4f}"),
        ("OBSLONG", f"{place.site.longitude_deg:.4f}"),
        ("OBSALT", f"{place.site.height_m:.0f}"),
    ):
        facts.add_text(key, value)
    return facts


def _exif(date_obs: datetime, place: SimulatedSite, exposure_time_s: float) -> Image.Exif:
    """EXIF as cameras write it: time with its zone, exposure, place."""
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = SIMULATED
    exif[ExifTags.Base.Software] = "Heliowatch simulator (SIMULATED)"
    inner = exif.get_ifd(ExifTags.IFD.Exif)
    inner[ExifTags.Base.DateTimeOriginal] = f"{date_obs.astimezone(UTC):%Y:%m:%d %H:%M:%S}"
    inner[ExifTags.Base.OffsetTimeOriginal] = "+00:00"
    inner[ExifTags.Base.ExposureTime] = exposure_time_s
    place_of = exif.get_ifd(ExifTags.IFD.GPSInfo)
    latitude, longitude = place.site.latitude_deg, place.site.longitude_deg
    place_of[ExifTags.GPS.GPSLatitudeRef] = "N" if latitude >= 0 else "S"
    place_of[ExifTags.GPS.GPSLatitude] = _sexagesimal(abs(latitude))
    place_of[ExifTags.GPS.GPSLongitudeRef] = "E" if longitude >= 0 else "W"
    place_of[ExifTags.GPS.GPSLongitude] = _sexagesimal(abs(longitude))
    return exif


def _sexagesimal(degrees: float) -> tuple[float, float, float]:
    minutes = (degrees % 1.0) * 60.0
    return float(int(degrees)), float(int(minutes)), round((minutes % 1.0) * 60.0, 2)


def _camera_facts(place: SimulatedSite) -> dict[str, object]:
    """What holds for all images of a film."""
    return {
        "SIMULATD": "T",
        "Project unique ID": "simulated",
        "Site unique ID": place.name,
        "Imager unique ID": "allsky-sim",
        "Imager comment": SIMULATED,
        "Site name": f"Simulated {place.name}",
        "Geodetic latitude": f"{place.site.latitude_deg:.4f}",
        "Geodetic Longitude": f"{place.site.longitude_deg:.4f}",
        "Geodetic altitude": f"{place.site.height_m:.1f}",
    }


def _film_facts(moment: datetime, exposure_time_s: float) -> dict[str, object]:
    return {
        "Exposure options": f"XBIN=1 YBIN=1 MSEC={1000.0 * exposure_time_s:.0f}",
        "Image request start": f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f} UTC",
    }


def _written(path: Path, data: bytes) -> Path:
    """Write under a temporary name and rename, as a camera's software should."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(data)
    temporary.replace(path)
    return path
