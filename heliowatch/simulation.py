"""A simulated observatory: the same Sun turning, weather passing, frames at a cadence."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import MAXYEAR, UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import structlog

from heliowatch.folders import make_folder
from models.simulate.aia import AiaSun, AiaTelescope, write_aia_fits
from models.simulate.aia_defects import spoil
from models.simulate.allsky_cameras import STATION_KIND
from models.simulate.allsky_files import write_picture
from models.simulate.allsky_night import Night, Weather, night_camera
from models.simulate.allsky_scene import View
from models.simulate.allsky_sites import TRAINING_SITES, SimulatedSite
from models.simulate.degrade import degrade
from models.simulate.halpha import HalphaSun, HalphaTelescope
from models.simulate.hmi import HmiSun, HmiTelescope
from models.simulate.hmi_defects import spoil_hmi
from models.simulate.hmi_fits import write_hmi_fits
from models.simulate.kso_fits import write_kso_fits
from observatory.analysis import Cause, SkyClass
from observatory.coordinates import SunView, hpc_to_pixel, stonyhurst_to_hpc, to_stonyhurst
from observatory.errors import SettingsError
from observatory.magnetometer import write_iaga2002

log = structlog.get_logger(__name__)

_SPELL_FRAMES = 8  # weather stays for about a minute at KSO's cadence of 6 s
_WEATHER = {
    Cause.CLOUD: 0.4,
    Cause.THIN_CLOUD: 0.3,
    Cause.CONTRAIL: 0.15,
    Cause.DEFOCUS: 0.075,
    Cause.OFF_CENTRE: 0.075,
}


AIA_CHANNELS = (304, 171, 193)
_CHANNEL_STEP_S = 4.0  # AIA takes its channels within twelve seconds (Lemen et al. 2012, section 2)
_MISHAPS = (Cause.ECLIPSE, Cause.MISSING_DATA, Cause.OFF_CENTRE, Cause.SPIKES)
_HMI_CADENCE_S = 45.0  # its files are named by the slots of 45 s
_FIRST_YEAR = 1970  # noise is drawn by POSIX seconds
_NAMES_STEP_S = 1.0  # those of the others by whole seconds


@dataclass(frozen=True)
class Exposure:
    """A frame that the simulated observatory took, and what is true of it."""

    path: Path
    date_obs: datetime
    cause: Cause | None
    sky_class: SkyClass | None = None


class SimulatedObservatory:
    """Takes KSO-style frames of one simulated Sun.

    Parameters
    ----------
    seed : int
        The same seed gives the same Sun and the same weather.
    size_px : int
        Side of the frames.
    degraded : float
        Share of the time that is spoilt, 0 to 1.
    """

    def __init__(self, seed: int = 1, size_px: int = 2048, degraded: float = 0.25) -> None:
        self._sun = HalphaSun(seed, detail=1024 if size_px > 512 else 256)
        self._telescope = HalphaTelescope(size_px=size_px)
        self._seed, self._degraded = seed, degraded

    def weather(self, number: int) -> Cause | None:
        """What spoils the frame of that number; whole spells, not single frames."""
        random = np.random.default_rng((self._seed, number // _SPELL_FRAMES, 7))
        if random.random() >= self._degraded:
            return None
        return list(_WEATHER)[int(random.choice(len(_WEATHER), p=list(_WEATHER.values())))]

    def expose(
        self, folder: Path, number: int, date_obs: datetime, cause: Cause | None = None
    ) -> list[Exposure]:
        """Take one frame and write it into a folder."""
        taken = self._sun.frame(date_obs, self._telescope, noise_seed=number)
        pixels = taken.pixels
        if cause is not None:
            random = np.random.default_rng((self._seed, number, 11))
            pixels = np.asarray(degrade(pixels, taken.pointing, cause, random).pixels)
        told = f"Simulated frame, {'clear' if cause is None else 'spoilt by ' + cause.value}"
        path = write_kso_fits(folder, pixels, date_obs, taken.pointing, simulated=True, comment=told)
        return [Exposure(path, date_obs, cause)]


class SimulatedCorona:
    """Takes frames of one simulated corona as SDO/AIA would: the channels of a composite, one after the other.

    Parameters
    ----------
    seed, size_px, degraded
        As `SimulatedObservatory`'s.
    """

    def __init__(self, seed: int = 1, size_px: int = 1024, degraded: float = 0.0) -> None:
        self._sun = AiaSun(seed, activity=0.6)
        self._seed, self._size_px, self._degraded = seed, size_px, degraded

    def weather(self, number: int) -> Cause | None:
        """What spoils the set of that number: single frames, as a spacecraft has no weather."""
        random = np.random.default_rng((self._seed, number, 13))
        if random.random() >= self._degraded:
            return None
        return _MISHAPS[int(random.integers(len(_MISHAPS)))]

    def expose(
        self, folder: Path, number: int, date_obs: datetime, cause: Cause | None = None
    ) -> list[Exposure]:
        """Take one frame of each channel, seconds apart and the last one now, and write them into a folder."""
        taken = []
        for place, channel in enumerate(AIA_CHANNELS):
            moment = date_obs - timedelta(seconds=_CHANNEL_STEP_S * (len(AIA_CHANNELS) - 1 - place))
            frame = self._sun.frame(moment, AiaTelescope(self._size_px, channel), noise_seed=number)
            if cause is not None:
                random = np.random.default_rng((self._seed, number, 17))
                spoilt = spoil(frame.pixels, frame.pointing, cause, random)
                frame = replace(frame, pixels=np.asarray(spoilt.pixels))
            taken.append(Exposure(write_aia_fits(folder, frame), moment, cause))
        return taken


class SimulatedPhotosphere:
    """Takes frames of one simulated photosphere as SDO/HMI would: continuum and field of the same moment.

    Parameters
    ----------
    seed, size_px, degraded
        As `SimulatedObservatory`'s.
    cutout_px : int, optional
        Keep so many pixels a side about the spots that are nearest to the middle of the disk; the middle
        where there are none.
    """

    def __init__(
        self, seed: int = 1, size_px: int = 1024, degraded: float = 0.0, *, cutout_px: int | None = None
    ) -> None:
        self._sun = HmiSun(seed, activity=0.6)
        self._telescope = HmiTelescope(size_px)
        self._seed, self._degraded, self._cutout_px = seed, degraded, cutout_px

    def weather(self, number: int) -> Cause | None:
        """What spoils the pair of that number: single frames, as a spacecraft has no weather."""
        random = np.random.default_rng((self._seed, number, 19))
        if random.random() >= self._degraded:
            return None
        return _MISHAPS[int(random.integers(len(_MISHAPS)))]

    def expose(
        self, folder: Path, number: int, date_obs: datetime, cause: Cause | None = None
    ) -> list[Exposure]:
        """Take continuum and field and write them into a folder."""
        taken = []
        for frame in self._sun.pair(date_obs, self._aimed(date_obs), noise_seed=number):
            pixels = frame.pixels
            if cause is not None:
                random = np.random.default_rng((self._seed, number, 23))
                pixels = np.asarray(spoil_hmi(pixels, frame.pointing, cause, random).pixels)
            taken.append(Exposure(write_hmi_fits(folder, frame, pixels=pixels), date_obs, cause))
        return taken

    def _aimed(self, date_obs: datetime) -> HmiTelescope:
        """The telescope, with the window of the cut-out at that moment."""
        if self._cutout_px is None:
            return self._telescope
        view = SunView(date_obs)
        pointing = self._telescope.pointing(view.rsun_arcsec)
        middle = np.array([pointing.center_x_px, pointing.center_y_px])
        spots = []
        for group in self._sun.groups_at(date_obs):
            longitude = to_stonyhurst(group.longitude_deg, view.l0_deg)
            tx, ty = stonyhurst_to_hpc(longitude, group.latitude_deg, view.b0_deg, view.rsun_arcsec)
            if np.isfinite(tx):  # on the side that we see
                spots.append(np.array(hpc_to_pixel(tx, ty, pointing), float))
        aim = min(spots, key=lambda place: float(np.hypot(*(place - middle))), default=middle)
        room = self._telescope.size_px - self._cutout_px
        x0, y0 = (int(at) for at in np.clip(aim - self._cutout_px / 2, 0, room))
        return replace(self._telescope, window_px=(x0, y0, x0 + self._cutout_px, y0 + self._cutout_px))


class SimulatedSkyCamera:
    """Takes all-sky pictures of a simulated station: nights as `models.simulate.allsky_night` tells them.

    Parameters
    ----------
    seed : int
        The same seed gives the same camera and the same nights.
    size_px : int
        Diameter of the sky in the pictures.
    degraded : float
        0: every night is clear; above, the weather of each night is drawn.
    place : SimulatedSite, optional
        Svalbard's, where it stands.
    weather : Weather, optional
        Of every night.
    activity : float, optional
        How much aurora every night has, 0 to 1; drawn by default.
    """

    def __init__(
        self,
        seed: int = 1,
        size_px: int = 480,
        degraded: float = 0.25,
        place: SimulatedSite = TRAINING_SITES[0],
        *,
        weather: Weather | None = None,
        activity: float | None = None,
    ) -> None:
        self.place, self.camera = place, night_camera(STATION_KIND, seed, size_px)
        self._view = View(self.camera.circle, self.camera.shape)
        self._seed, self._activity = seed, activity
        self._weather = Weather.CLEAR if weather is None and degraded == 0.0 else weather
        self._nights: dict[date, Night] = {}

    @property
    def lens_settings(self) -> dict[str, object]:
        """What the station's settings say under ``fisheye``."""
        circle = self.camera.circle
        return {
            "center_x_px": round(circle.center_x_px, 2),
            "center_y_px": round(circle.center_y_px, 2),
            "radius_px": round(circle.radius_px, 2),
            "max_zenith_deg": circle.max_zenith_deg,
            "projection": circle.projection.value,
            "up_azimuth_deg": circle.up_azimuth_deg,
        }

    def night(self, moment: datetime) -> Night:
        """The night that a moment belongs to: from one mean local noon to the next."""
        local = moment.astimezone(UTC) + timedelta(hours=self.place.site.longitude_deg / 15.0)
        evening = (local - timedelta(hours=12)).date()
        if evening not in self._nights:
            self._nights[evening] = Night(
                self.place, evening, self._seed, weather=self._weather, activity=self._activity
            )
        return self._nights[evening]

    def expose(self, folder: Path, date_obs: datetime) -> list[Exposure]:
        """Take one picture and write it as JPEG."""
        taken = self.night(date_obs).frame_at(date_obs, self.camera, view=self._view)
        path = write_picture(folder, taken.pixels, date_obs, self.place)
        return [Exposure(path, date_obs, None, taken.truth.sky_class)]

    def write_magnetometer(self, folder: Path, start: datetime, end: datetime) -> list[Path]:
        """Write what the station's magnetometer felt from one moment to another: whole minutes, a file a day."""
        minutes = np.arange(np.floor(start.timestamp() / 60.0), np.ceil(end.timestamp() / 60.0) + 1) * 60.0
        paths = []
        for day in np.unique(minutes // 86400.0):
            parts = []
            times = minutes[minutes // 86400.0 == day]
            evenings = [self.night(datetime.fromtimestamp(time_s, UTC)).evening for time_s in times]
            for evening in sorted(set(evenings)):
                chosen = times[[one == evening for one in evenings]]
                parts.append(self._nights[evening].magnetometer(chosen))
            series = replace(
                parts[0],
                times_s=np.concatenate([part.times_s for part in parts]),
                x_nt=np.concatenate([part.x_nt for part in parts]),
                y_nt=np.concatenate([part.y_nt for part in parts]),
                z_nt=np.concatenate([part.z_nt for part in parts]),
            )
            stamp = datetime.fromtimestamp(float(day) * 86400.0, UTC)
            path = folder / f"{series.station.lower()}{stamp:%Y%m%d}vmin.min"
            write_iaga2002(path, series, source="Heliowatch simulator")
            paths.append(path)
        return paths


@dataclass(frozen=True)
class Simulation:
    """What is to be simulated, and how fast.

    Attributes
    ----------
    what : str
        ``kso-halpha``, ``aia`` (sets of three), ``hmi`` (pairs) or ``allsky``.
    frames : int or None
        How many frames, sets or pairs; None: until Ctrl-C.
    cadence_s : float
        Seconds from one to the next as they are written; 0: as fast as it goes.
    size_px, degraded, seed
        As those of the simulated instrument.
    start : str or None
        Time of the first frame, ISO 8601; None: now.
    step_s : float or None
        Seconds from one frame to the next on the simulated clock; the cadence by default, and no less than
        what tells files apart by their names: 1 s, of HMI 45 s.
    magnetometer : Path or None
        Folder for what the all-sky station's magnetometer feels meanwhile, IAGA-2002 by the day; written
        when the run ends.
    """

    what: str
    frames: int | None
    cadence_s: float
    size_px: int
    degraded: float
    seed: int
    start: str | None = None
    step_s: float | None = None
    magnetometer: Path | None = None


def run_simulation(folder: Path, wanted: Simulation) -> None:
    """Write frames into a folder until all are written or Ctrl-C.

    Raises
    ------
    SettingsError
        When the step is too small, the times leave the calendar, or a magnetometer is asked of what has none.
    """
    if wanted.magnetometer is not None and wanted.what != "allsky":
        raise SettingsError("--magnetometer: only an allsky station has one (-i allsky)")
    first, step_s = _clock(wanted)
    make_folder(folder)
    instrument = _instrument(wanted)
    began = time.monotonic()
    number = 0
    try:
        while wanted.frames is None or number < wanted.frames:
            moment = first + timedelta(seconds=number * step_s)
            for exposure in _exposed(instrument, folder, number, moment):
                told = (
                    exposure.cause
                    or exposure.sky_class
                    or ("unclear" if wanted.what == "allsky" else "clear")
                )
                log.info("exposed", file_name=exposure.path.name, cause=told)
            number += 1
            time.sleep(max(0.0, began + number * wanted.cadence_s - time.monotonic()))
    finally:
        if wanted.magnetometer is not None and isinstance(instrument, SimulatedSkyCamera) and number:
            make_folder(wanted.magnetometer)
            last = first + timedelta(seconds=(number - 1) * step_s)
            instrument.write_magnetometer(wanted.magnetometer, first, last)


_Simulated = SimulatedObservatory | SimulatedCorona | SimulatedPhotosphere | SimulatedSkyCamera


def _instrument(wanted: Simulation) -> _Simulated:
    kinds: dict[str, type[_Simulated]] = {
        "kso-halpha": SimulatedObservatory,
        "aia": SimulatedCorona,
        "hmi": SimulatedPhotosphere,
        "allsky": SimulatedSkyCamera,
    }
    made = kinds[wanted.what](wanted.seed, wanted.size_px, wanted.degraded)
    if isinstance(made, SimulatedSkyCamera):
        log.info("lens", **made.lens_settings)
    return made


def _exposed(instrument: _Simulated, folder: Path, number: int, date_obs: datetime) -> list[Exposure]:
    if isinstance(instrument, SimulatedSkyCamera):  # whose weather is that of the night
        return instrument.expose(folder, date_obs)
    return instrument.expose(folder, number, date_obs, instrument.weather(number))


def _clock(wanted: Simulation) -> tuple[datetime, float]:
    """Time of the first frame, and seconds from each to the next."""
    least_s = _HMI_CADENCE_S if wanted.what == "hmi" else _NAMES_STEP_S
    if wanted.step_s is not None and wanted.step_s < least_s:
        raise SettingsError(
            f"--step {wanted.step_s:g}: {least_s:g} s or more tell the files of {wanted.what} apart by their names"
        )
    first = _moment(wanted.start)
    step_s = wanted.step_s or max(wanted.cadence_s or 6.0, least_s)
    _check_last(first, wanted.frames, step_s)
    return first, step_s


def _moment(word: str | None) -> datetime:
    if word is None:
        return datetime.now(UTC).replace(microsecond=0)
    try:
        moment = datetime.fromisoformat(word)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"--start {word!r} is not a time; write 2026-11-20T10:00:00Z") from error
    if moment.year < _FIRST_YEAR:
        raise SettingsError(
            f"--start {word!r}: simulated skies and Suns begin in {_FIRST_YEAR}; take a later time"
        )
    return moment


def _check_last(first: datetime, frames: int | None, step_s: float) -> None:
    """Refuse runs that leave the calendar; of those without an end, with their second frame."""
    try:
        is_within = (first + timedelta(seconds=((frames or 2) - 1) * step_s)).year < MAXYEAR
    except OverflowError:
        is_within = False
    if not is_within:
        raise SettingsError(
            f"frames would lie beyond the year {MAXYEAR - 1}: take an earlier --start, or a smaller --step"
        )
