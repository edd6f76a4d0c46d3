"""Write H-alpha frames as Kanzelhoehe Observatory writes them (``.fts.gz``).

Keyword names follow the observatory's public files: EXP_TIME is in milliseconds (EXPTIME, where a
file has it, in seconds), CENTER_X, CENTER_Y and SOLAR_R are in pixels (FITS counts from 1), ANGLE
is the solar rotation angle with the sign that PCi_j = R(-ANGLE) needs. A file from here also says
that it is simulated.
"""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from astropy.io import fits

from observatory.frame import Pointing


def kso_file_name(date_obs: datetime) -> str:
    """``kanz_halph_fi_YYYYMMDD_HHMMSS.fts.gz`` for the start of an exposure."""
    return f"kanz_halph_fi_{date_obs.astimezone(UTC):%Y%m%d_%H%M%S}.fts.gz"


def write_kso_fits(
    path: Path,
    pixels: np.ndarray,
    date_obs: datetime,
    pointing: Pointing,
    *,
    exposure_time_s: float = 0.0025,
    wavelength_nm: float = 656.28,
    simulated: bool = True,
    comment: str = "",
) -> Path:
    """Write one frame as a gzipped KSO-style FITS file.

    Parameters
    ----------
    path : Path
        A file name, or a folder in which `kso_file_name` is used. Written under a temporary
        name first and renamed, as a camera's software should.
    pixels : ndarray, shape (height, width)
        Row 0 at the bottom; stored as int16.
    date_obs : datetime
        Start of the exposure, aware UTC.
    pointing : Pointing
        Disk in 0-based pixels.

    Returns
    -------
    Path
        The file.
    """
    if path.is_dir():
        path = path / kso_file_name(date_obs)
    header = _kso_header(date_obs, pointing, exposure_time_s, wavelength_nm, comment, simulated=simulated)
    hdu = fits.PrimaryHDU(np.asarray(pixels, dtype=np.int16), header)
    temporary = path.with_name(f".{path.name}.part")
    # Level 1: a noisy frame hardly shrinks further, and the demonstration writes many.
    with temporary.open("wb") as raw, gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as out:
        fits.HDUList([hdu]).writeto(out)
    temporary.replace(path)
    return path


def _kso_header(
    date_obs: datetime,
    pointing: Pointing,
    exposure_time_s: float,
    wavelength_nm: float,
    comment: str,
    *,
    simulated: bool,
) -> fits.Header:
    moment = date_obs.astimezone(UTC)
    stamp = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"
    scale = pointing.cdelt_arcsec
    header = fits.Header()
    for keyword, value, text in (
        ("DATE-OBS", stamp, "start of exposure (UTC)"),
        ("DATE_OBS", stamp, "start of exposure (UTC)"),
        ("TIMESYS", "UTC", ""),
        ("ORIGIN", "Kanzelhoehe Observatory", ""),
        ("OBSVTRY", "Kanzelhoehe Observatory", ""),
        ("TELESCOP", "KHPI", "Kanzelhoehe patrol instrument"),
        ("INSTRUME", "HA2", ""),
        ("OBJECT", "FULL SUN", ""),
        ("OBS_TYPE", "HALPH", ""),
        ("WAVELNTH", round(wavelength_nm * 10.0, 4), "[Angstrom]"),
        ("WAVEUNIT", "Angstrom", ""),
        ("EXP_TIME", round(exposure_time_s * 1000.0, 6), "[ms] exposure time"),
        ("EXPTIME", exposure_time_s, "[s] exposure time"),
        ("CENTER_X", round(pointing.center_x_px + 1.0, 4), "[px] disk centre, first pixel is 1"),
        ("CENTER_Y", round(pointing.center_y_px + 1.0, 4), "[px] disk centre, first pixel is 1"),
        ("SOLAR_R", round(pointing.radius_px, 4), "[px] disk radius"),
        ("RSUN_OBS", round(pointing.rsun_arcsec, 4), "[arcsec] apparent solar radius"),
        ("RSUN_ARC", round(pointing.rsun_arcsec, 4), "[arcsec] apparent solar radius"),
        ("ANGLE", -(pointing.roll_deg or 0.0), "[deg] solar rotation angle"),
        ("SOLAR_P0", 0.0, "[deg]"),
        ("SOLAR_B0", 0.0, "[deg]"),
        ("CTYPE1", "HPLN-TAN", ""),
        ("CTYPE2", "HPLT-TAN", ""),
        ("CUNIT1", "arcsec", ""),
        ("CUNIT2", "arcsec", ""),
        ("CRPIX1", round(pointing.center_x_px + 1.0, 4), ""),
        ("CRPIX2", round(pointing.center_y_px + 1.0, 4), ""),
        ("CRVAL1", 0.0, ""),
        ("CRVAL2", 0.0, ""),
        ("CDELT1", scale, "[arcsec/px]"),
        ("CDELT2", scale, "[arcsec/px]"),
        ("BUNIT", "counts", ""),
    ):
        header[keyword] = (value, text)
    if simulated:
        header["SIMULATD"] = (True, "this frame was simulated")
        header["COMMENT"] = "Simulated by Heliowatch; not an observation of Kanzelhoehe Observatory."
    if comment:
        header["COMMENT"] = comment
    return header
