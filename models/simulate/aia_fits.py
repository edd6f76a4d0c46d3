"""Write frames as the Joint Science Operations Center writes AIA's: Rice-compressed int16.

Keyword names and their order follow public level 1 and 1.5 files; those that only say which
internal record something came from are left out. A file from here says that it is simulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from models.simulate.packed_fits import override, write_image
from observatory.coordinates import SunView

if TYPE_CHECKING:
    from models.simulate.aia import SimulatedAia

_AU_M = 149597870691.0
_RSUN_M = 696000000.0
_CAMERA = {94: 4, 131: 1, 171: 3, 193: 2, 211: 2, 304: 4, 335: 1}
#: What stands for lost pixels in level 1 files.
BLANK = -32768
_WAVE_STR = {171: "171_THIN", 193: "193_THIN", 211: "211_THIN"}


def aia_file_name(date_obs: datetime, channel: int) -> str:
    """``aia_YYYYMMDDTHHMMSS_171.fits`` for the start of an exposure."""
    return f"aia_{date_obs.astimezone(UTC):%Y%m%dT%H%M%S}_{channel}.fits"


def write_aia_fits(
    path: Path,
    simulated: SimulatedAia,
    *,
    quality: int = 0,
    overrides: Mapping[str, Any] | None = None,
    pixels: np.ndarray | None = None,
) -> Path:
    """Write one frame as a Rice-compressed AIA FITS file.

    Parameters
    ----------
    path : Path
        A file name, or a folder in which `aia_file_name` is used. Written under a temporary name
        first and renamed.
    quality : int
        The QUALITY bits.
    overrides : Mapping, optional
        Keywords to set to other values, or to leave out (None): for tests of bad headers.
    pixels : ndarray, optional
        Other pixels under the same header, such as spoilt ones; stored as int16. Lost ones are NaN, or
        -32768 in int16: that is what BLANK says, and what MISSVALS and its kin count.

    Returns
    -------
    Path
        The file.
    """
    if path.is_dir():
        path = path / aia_file_name(simulated.date_obs, simulated.channel)
    data = np.asarray(simulated.pixels if pixels is None else pixels)
    if data.dtype != np.int16:
        data = np.clip(np.rint(np.nan_to_num(data, nan=BLANK)), -32768, 32767).astype(np.int16)
    header = _header(simulated, data, quality)
    override(header, overrides)
    image = fits.CompImageHDU(
        data, header, compression_type="RICE_1", tile_shape=(1, data.shape[1]), uint=False
    )
    return write_image(path, image)


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 10000:02d}"


def _header(simulated: SimulatedAia, data: np.ndarray, quality: int) -> fits.Header:
    view = SunView(simulated.date_obs)
    pointing = simulated.pointing
    start = simulated.date_obs.astimezone(UTC)
    middle = start + timedelta(seconds=simulated.exposure_time_s / 2)
    channel = simulated.channel
    scale = pointing.cdelt_arcsec
    missing = int(np.count_nonzero(data == BLANK))
    header = fits.Header()
    for keyword, value, text in (
        ("BLANK", BLANK, ""),
        ("ORIGIN", "SDO/JSOC-SDP", ""),
        ("DATE", _stamp(start + timedelta(days=7))[:19], "[UTC] when the file would have been made"),
        ("TELESCOP", "SDO/AIA", ""),
        ("INSTRUME", f"AIA_{_CAMERA[channel]}", ""),
        ("DATE-OBS", _stamp(start), "[UTC] start of the exposure"),
        ("T_OBS", _stamp(middle) + "Z", "[UTC] middle of the exposure"),
        ("T_REC", _stamp(middle)[:19] + "Z", ""),
        ("CAMERA", _CAMERA[channel], ""),
        ("IMG_TYPE", "LIGHT", ""),
        ("EXPTIME", round(simulated.exposure_time_s, 6), "[s]"),
        ("WAVELNTH", channel, ""),
        ("WAVEUNIT", "angstrom", ""),
        ("WAVE_STR", _WAVE_STR.get(channel, f"{channel}_THICK"), ""),
        ("LVL_NUM", simulated.level, ""),
        ("QUALITY", quality, ""),
        ("QUALLEV0", 0, ""),
        ("TOTVALS", int(data.size), ""),
        ("DATAVALS", int(data.size) - missing, ""),
        ("MISSVALS", missing, ""),
        ("PERCENTD", round(100.0 * (1.0 - missing / data.size), 6), ""),
        *_statistics(data if missing == 0 else data[data != BLANK]),
        ("CTYPE1", "HPLN-TAN", ""),
        ("CUNIT1", "arcsec", ""),
        ("CRVAL1", 0.0, ""),
        ("CDELT1", round(scale, 6), ""),
        ("CRPIX1", round(pointing.center_x_px + 1.0, 6), ""),
        ("CTYPE2", "HPLT-TAN", ""),
        ("CUNIT2", "arcsec", ""),
        ("CRVAL2", 0.0, ""),
        ("CDELT2", round(scale, 6), ""),
        ("CRPIX2", round(pointing.center_y_px + 1.0, 6), ""),
        ("CROTA2", round(pointing.roll_deg or 0.0, 6), ""),
        ("R_SUN", round(pointing.radius_px, 6), "[px]"),
        ("DSUN_REF", _AU_M, "[m]"),
        ("DSUN_OBS", round(view.distance_au * _AU_M, 2), "[m]"),
        ("RSUN_REF", _RSUN_M, "[m]"),
        ("RSUN_OBS", round(pointing.rsun_arcsec, 6), "[arcsec]"),
        ("CRLN_OBS", round(view.l0_deg, 6), "[deg]"),
        ("CRLT_OBS", round(view.b0_deg, 6), "[deg]"),
        ("HGLN_OBS", 0.0, "[deg]"),
        ("HGLT_OBS", round(view.b0_deg, 6), "[deg]"),
        ("ACS_MODE", "SCIENCE", ""),
        ("ACS_ECLP", "NO", ""),
        ("ACS_SUNP", "YES", ""),
        ("ACS_SAFE", "NO", ""),
        ("BUNIT", "DN", ""),
        ("SIMULATD", True, "this frame was simulated"),
    ):
        header[keyword] = (value, text)
    header["COMMENT"] = "Simulated by Heliowatch; not an observation of SDO."
    return header


def _statistics(measured: np.ndarray) -> list[tuple[str, int | float, str]]:
    """Keywords of the brightness that was measured; none where nothing was."""
    if not measured.size:
        return []
    sample = measured.ravel()[::61].astype(np.float64)
    return [
        ("DATAMIN", int(measured.min()), ""),
        ("DATAMAX", int(measured.max()), ""),
        ("DATAMEDN", int(np.median(sample)), ""),
        ("DATAMEAN", round(float(sample.mean()), 2), ""),
    ]
