"""Write frames as the Joint Science Operations Center writes HMI's: Rice-compressed int32.

Keyword names follow public files of the series hmi.Ic_45s, hmi.M_45s and their 720 s kin; those
that only say which internal record or code something came from are left out. A file from here
says that it is simulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from models.simulate.hmi import SimulatedHmi
from models.simulate.packed_fits import override, write_image
from observatory.analysis import Quantity
from observatory.coordinates import SunView

_AU_M = 149597870691
_RSUN_M = 696000000
_TAI_EPOCH = datetime(1993, 1, 1)  # noqa: DTZ001  TRECEPOC; T_REC counts from it in TAI
_TAI_MINUS_UTC_S = (
    (datetime(2017, 1, 1, tzinfo=UTC), 37),
    (datetime(2015, 7, 1, tzinfo=UTC), 36),
    (datetime(2012, 7, 1, tzinfo=UTC), 35),
    (datetime(2009, 1, 1, tzinfo=UTC), 34),
)
_CARRINGTON_EPOCH = datetime(1853, 11, 9, 21, 36, tzinfo=UTC)  # of rotation 1 (Carrington 1863)
_CARRINGTON_DAYS = 27.2753

#: What stands for pixels that hold nothing.
BLANK = -2147483648
_SCALE = {Quantity.CONTINUUM: (3.0, 97304.0), Quantity.FIELD: (0.1, 0.0)}  # BSCALE and BZERO
_CONTENT = {Quantity.CONTINUUM: "CONTINUUM INTENSITY", Quantity.FIELD: "MAGNETOGRAM"}


def hmi_file_name(date_obs: datetime, quantity: Quantity, cadence_s: int = 45) -> str:
    """``hmi.ic_45s.YYYYMMDD_HHMMSS_TAI.2.continuum.fits``, with the time of the slot."""
    series, segment = ("ic", "continuum") if quantity is Quantity.CONTINUUM else ("m", "magnetogram")
    camera = 2 if cadence_s == 45 else 3
    slot = _slot(date_obs, cadence_s)
    return f"hmi.{series}_{cadence_s}s.{slot:%Y%m%d_%H%M%S}_TAI.{camera}.{segment}.fits"


def write_hmi_fits(
    path: Path,
    simulated: SimulatedHmi,
    *,
    quality: int = 0,
    overrides: Mapping[str, Any] | None = None,
    pixels: np.ndarray | None = None,
) -> Path:
    """Write one frame as a Rice-compressed HMI FITS file.

    Parameters
    ----------
    path : Path
        A file name, or a folder in which `hmi_file_name` is used. Written under a temporary name
        first and renamed.
    quality : int
        The QUALITY bits.
    overrides : Mapping, optional
        Keywords to set to other values, or to leave out (None): for tests of bad headers. BSCALE and
        BZERO are what they are.
    pixels : ndarray, optional
        Other pixels under the same header, such as spoilt ones; NaN where there is nothing.

    Returns
    -------
    Path
        The file.
    """
    if path.is_dir():
        path = path / hmi_file_name(simulated.date_obs, simulated.quantity, simulated.cadence_s)
    physical = np.asarray(simulated.pixels if pixels is None else pixels, np.float32)
    header = _header(simulated, physical, quality)
    override(header, overrides)
    image = fits.CompImageHDU(
        _stored(physical, simulated.quantity),
        header,
        compression_type="RICE_1",
        tile_shape=(1, physical.shape[1]),
        uint=False,
        do_not_scale_image_data=True,
    )
    scale, zero = _SCALE[simulated.quantity]
    # Set only now: astropy drops them from the header that it is given with whole numbers.
    for keyword, value in (("BSCALE", scale), ("BZERO", zero), ("BLANK", BLANK)):
        image.header[keyword] = value
    return write_image(path, image)


def _stored(physical: np.ndarray, quantity: Quantity) -> np.ndarray:
    scale, zero = _SCALE[quantity]
    known = np.isfinite(physical)
    counts = np.rint((np.where(known, physical, zero) - np.float32(zero)) * np.float32(1.0 / scale))
    stored = counts.astype(np.int32)
    stored[~known] = BLANK
    return stored


def _lag_s(moment: datetime) -> int:
    return next((lag for since, lag in _TAI_MINUS_UTC_S if moment >= since), 34)


def _middle_tai(date_obs: datetime, cadence_s: int) -> datetime:
    moment = date_obs.astimezone(UTC)
    return (moment + timedelta(seconds=cadence_s / 2 + _lag_s(moment))).replace(tzinfo=None)


def _slot(date_obs: datetime, cadence_s: int) -> datetime:
    """Nominal time of the frame in TAI: the nearest whole number of cadences."""
    since = (_middle_tai(date_obs, cadence_s) - _TAI_EPOCH).total_seconds()
    return _TAI_EPOCH + timedelta(seconds=round(since / cadence_s) * cadence_s)


def _tai(moment: datetime, digits: int) -> str:
    second = f"{moment.second + moment.microsecond / 1e6:0{3 + digits if digits else 2}.{digits}f}"
    return f"{moment:%Y.%m.%d_%H:%M}:{second}_TAI"


def _header(simulated: SimulatedHmi, physical: np.ndarray, quality: int) -> fits.Header:
    view = SunView(simulated.date_obs)
    pointing, cadence = simulated.pointing, simulated.cadence_s
    start = simulated.date_obs.astimezone(UTC)
    is_front = cadence == 45
    stamp = start.strftime("%Y-%m-%dT%H:%M:%S.") + f"{start.microsecond // 10000:02d}"
    scale = round(pointing.cdelt_arcsec, 6)
    header = fits.Header()
    for keyword, value, text in (
        ("DATE", (start + timedelta(days=4)).strftime("%Y-%m-%dT%H:%M:%S"), "[UTC] when it would be made"),
        ("DATE-OBS", stamp, "[UTC] start of the span"),
        ("TELESCOP", "SDO/HMI", ""),
        ("INSTRUME", "HMI_FRONT2" if is_front else "HMI_COMBINED", ""),
        ("WAVELNTH", 6173.0, "[angstrom]"),
        ("CAMERA", 2 if is_front else 3, ""),
        ("BUNIT", simulated.unit, ""),
        ("ORIGIN", "SDO/JSOC-SDP", ""),
        ("CONTENT", _CONTENT[simulated.quantity], ""),
        ("QUALITY", quality, ""),
        *_statistics(physical),
        ("CTYPE1", "HPLN-TAN", ""),
        ("CTYPE2", "HPLT-TAN", ""),
        ("CRPIX1", round(pointing.center_x_px + 1.0, 6), ""),
        ("CRPIX2", round(pointing.center_y_px + 1.0, 6), ""),
        ("CRVAL1", 0.0, ""),
        ("CRVAL2", 0.0, ""),
        ("CDELT1", scale, ""),
        ("CDELT2", scale, ""),
        ("CUNIT1", "arcsec", ""),
        ("CUNIT2", "arcsec", ""),
        ("CROTA2", round(pointing.roll_deg or 0.0, 6), "[deg]"),
        ("WCSNAME", "Helioprojective-cartesian", ""),
        ("DSUN_OBS", round(view.distance_au * _AU_M, 2), "[m]"),
        ("DSUN_REF", _AU_M, "[m]"),
        ("RSUN_REF", _RSUN_M, "[m]"),
        ("CRLN_OBS", round(view.l0_deg, 6), "[deg]"),
        ("CRLT_OBS", round(view.b0_deg, 6), "[deg]"),
        ("CAR_ROT", int((start - _CARRINGTON_EPOCH).total_seconds() / 86400.0 / _CARRINGTON_DAYS) + 1, ""),
        ("RSUN_OBS", round(pointing.rsun_arcsec, 6), "[arcsec]"),
        ("R_SUN", round(pointing.radius_px, 6), "[px]"),
        ("T_OBS", _tai(_middle_tai(start, cadence), 3), "[TAI] middle of the span"),
        ("T_REC", _tai(_slot(start, cadence), 0), "[TAI] nominal"),
        ("TRECEPOC", "1993.01.01_00:00:00_TAI", ""),
        ("TRECSTEP", float(cadence), "[s]"),
        ("TRECUNIT", "secs", ""),
        ("CADENCE", float(cadence), "[s]"),
        ("DATASIGN", 1, ""),
        ("QLOOK", 0, ""),
        ("SIMULATD", True, "this frame was simulated"),
    ):
        header[keyword] = (value, text)
    header["COMMENT"] = "Simulated by Heliowatch; not an observation of SDO."
    return header


def _statistics(physical: np.ndarray) -> list[tuple[str, int | float, str]]:
    """Keywords of what is there and what is not; of the values none where nothing is."""
    # HMI counts within the circle that it keeps, whose share of a cut-out is taken as that of a frame.
    whole = int(np.pi / 4 * physical.size * (2022.0 / 2048.0) ** 2)
    known = physical[np.isfinite(physical)]
    counts: list[tuple[str, int | float, str]] = [
        ("TOTVALS", max(whole, known.size), ""),
        ("DATAVALS", int(known.size), ""),
        ("MISSVALS", max(0, whole - known.size), ""),
    ]
    if not known.size:
        return counts
    sample = known[::61].astype(np.float64)
    return [
        *counts,
        ("DATAMIN", float(known.min()), ""),
        ("DATAMAX", float(known.max()), ""),
        ("DATAMEDN", round(float(np.median(sample)), 3), ""),
        ("DATAMEAN", round(float(sample.mean()), 3), ""),
        ("DATARMS", round(float(sample.std()), 3), ""),
    ]
