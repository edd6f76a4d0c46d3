"""Simulated all-sky pictures with their truth: the aurora, the cloud, the Moon, at any camera.

The six classes are those of Clausen & Nickisch (2018, JGR Space Physics 123, 5640). A simulated picture's
class follows from what was put into it and how much of that can be seen:

- **aurora** is evident if its light, above what it gives everywhere, reaches `EVIDENT` of the rest of the
  light in the best hundredth of the open sky, and stands out of the noise; absent below `ABSENT`. Diffuse
  aurora needs `EVIDENT_GLOW`, as smooth light may come from anywhere; colour tells some earlier; under cloud
  or moonlight aurora must be twice as bright.
  Evident aurora goes before cloud and Moon. The brightest form, by far, names the class: ``arc`` for smooth bands
  across the sky, ``discrete`` for rayed, folded or broken ones, ``diffuse`` for glow and patches.
- **cloud**: no aurora, and the clouds stop more than `CLOUDY` of the light of the sky (mean above 15 degrees).
  Cirrus counts by what shows more of it: light that it stops, or light of the Moon that it scatters; see
  `models.simulate.allsky_cirrus.weight`. Where it counts `VEILED` or more over `CLEAR` of the sky, the sky is
  neither ``moon`` nor ``clear``.
- **moon**: no aurora, less cloud than `CLEAR`, the Moon unhidden above the horizon, and its light the
  greater part of the sky's median.
- **clear**: no aurora, less cloud than `CLEAR`, moonlight less than a third of the rest, and no glow on the
  horizon that outshines the sky `GLARING` times.

Everything between, twilight brighter than with the Sun at -4 degrees, a dome under snow or dew, a burnt picture
and one that is all noise have no class (None): they are neither trained on nor scored.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.simulate import allsky_cirrus as cirrus
from models.simulate import allsky_light as sources
from models.simulate.allsky_aurora import curtains_light, glow_light
from models.simulate.allsky_cameras import Camera
from models.simulate.allsky_clouds import optical_depth
from models.simulate.allsky_detector import exposed, exposure_gain, lens_transmission, noise_level, open_field
from models.simulate.allsky_glass import moon_glare, rings
from models.simulate.allsky_scene import Curtain, Glow, Scene, Skyline, View, noise, tile
from observatory.analysis import SkyClass
from observatory.fisheye import Fisheye

FloatArray = NDArray[np.float32]

EVIDENT = 0.7
EVIDENT_GLOW = 0.9
EVIDENT_IN_COLOUR = 0.7
EVIDENT_THROUGH = 2.0
ABSENT = 0.05
CLOUDY = 0.6
CLEAR = 0.4
VEILED = 0.3
GLARING = 8.0
_BRIGHTEST_SUN_DEG = -4.0
_BRIGHTEST_KR = 100.0  # the third class of brightness, as bright as moonlit cloud (Hunten 1955)
_SPOILT_DOME = 0.25
_LEAST_SIGNAL = 0.8  # of the sky over the noise in a pixel
_BURNT = 0.4


@dataclass(frozen=True)
class SkyTruth:
    """What is true of a simulated picture.

    Attributes
    ----------
    sky_class : SkyClass or None
        None where no class is evident.
    cloud_map : ndarray, shape (height, width), float32
        Share of the sky's light that cloud stops, 0 to 1, or as much as cirrus is as evident as; see
        `models.simulate.allsky_cirrus.evidence`. 0 where the sky is not seen.
    aurora_map : ndarray, shape (height, width), float32
        Light of the aurora over the rest of the light, as the camera feels it.
    is_sky : ndarray of bool, shape (height, width)
        Where the open sky is seen: not beyond the rim, behind a tree or under a mask.
    cloud_cover : float
        Over the open sky above 15 degrees, as the class counts it.
    aurora_contrast : float
        What `EVIDENT` and `ABSENT` are held against.
    sun_elevation_deg, moon_elevation_deg, moon_azimuth_deg, moon_illuminated : float or None
    disturbance_nt : tuple (x, y, z) or None
        What the site's magnetometer feels; None for single scenes.
    """

    sky_class: SkyClass | None
    cloud_map: FloatArray
    aurora_map: FloatArray
    is_sky: NDArray[np.bool_]
    cloud_cover: float
    aurora_contrast: float
    sun_elevation_deg: float
    moon_elevation_deg: float | None = None
    moon_azimuth_deg: float | None = None
    moon_illuminated: float | None = None
    disturbance_nt: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class SimulatedSky:
    """A simulated picture: pixels as the camera's file holds them, its geometry, its truth."""

    pixels: NDArray[np.generic]
    circle: Fisheye
    truth: SkyTruth


@dataclass(frozen=True)
class _Light:
    """Light of a scene as a camera feels it, aurora apart; shape (channels, height, width)."""

    rest: FloatArray
    aurora: FloatArray
    cloud: FloatArray
    shown: FloatArray
    sky: NDArray[np.bool_]
    peaks: dict[SkyClass, float]
    veiled: float
    moon_share: float
    is_glaring: bool


def photograph(
    scene: Scene,
    camera: Camera,
    random: np.random.Generator,
    *,
    view: View | None = None,
    contrast: float | None = None,
    disturbance_nt: tuple[float, float, float] | None = None,
) -> SimulatedSky:
    """Take a picture of a scene.

    Parameters
    ----------
    random : Generator
        For the noise.
    view : View, optional
        The camera's, where it is at hand from the picture before.
    contrast : float, optional
        Make the aurora as bright as this contrast needs, whatever its own brightness.
    """
    view = view or View(camera.circle, camera.shape)
    light = _light(scene, camera, view)
    aurora, measured = light.aurora, 0.0
    if scene.forms:
        measured = _contrast(light, camera, view, aurora)
        if contrast is not None and measured > 0:
            brightest = max(form.brightness_kr for form in scene.forms)
            factor = min(contrast / measured, _BRIGHTEST_KR / brightest)
            aurora, measured = aurora * np.float32(factor), measured * factor
    total = light.rest + aurora
    snow = _dome_cover(scene, view)
    if snow is not None:
        mean = total.mean(axis=(1, 2), keepdims=True)
        total = total * (1 - snow) + mean * np.float32(0.8) * snow
    pixels = exposed(camera, total, view, random)
    high = light.sky & (view.zenith < np.radians(75))
    cover = float(light.cloud[high].mean()) if high.any() else 0.0
    is_seen = _is_seen(camera, view, total, light.sky) and not _is_burnt(camera, pixels, light.sky)
    limit = _evident(light, camera, cover)
    if measured > limit:
        is_seen = is_seen and _above_noise(light, camera, view, aurora)
    truth = SkyTruth(
        sky_class=_named(scene, light, measured, limit, cover, is_seen=is_seen),
        cloud_map=np.where(light.sky, light.shown, 0).astype(np.float32),
        aurora_map=(aurora.sum(axis=0) / np.maximum(light.rest.sum(axis=0), 1e-6)).astype(np.float32),
        is_sky=light.sky,
        cloud_cover=cover,
        aurora_contrast=measured,
        sun_elevation_deg=scene.sun_elevation_deg,
        moon_elevation_deg=scene.moon.elevation_deg if scene.moon else None,
        moon_azimuth_deg=scene.moon.azimuth_deg if scene.moon else None,
        moon_illuminated=scene.moon.illuminated if scene.moon else None,
        disturbance_nt=disturbance_nt,
    )
    return SimulatedSky(pixels, camera.circle, truth)


def _light(scene: Scene, camera: Camera, view: View) -> _Light:
    """All the light that reaches the lens."""
    response = camera.response
    air = sources.extinction(view)
    through, texture = _through(scene, view)
    cloud = 1.0 - through
    ice = cirrus.ice_of(scene.cirrus, scene.moon, view)

    def felt(spectrum: object) -> FloatArray:
        return np.asarray(response @ np.asarray(spectrum, np.float32), np.float32)[:, None, None]

    above = felt(sources.NATURAL) * sources.natural_sky(scene, view)
    above = above + felt(sources.AIRGLOW) * sources.airglow(scene, view)
    blue, red = sources.twilight(scene, view)
    dawn = felt(sources.TWILIGHT_BLUE) * blue + felt(sources.TWILIGHT_RED) * red
    lit_by_moon = np.zeros_like(above)
    if scene.moon is not None and scene.moon.elevation_deg > -1.0:
        lit_by_moon = felt(sources.MOONLIGHT) * sources.moonlight(scene.moon, view)
    change: FloatArray | None = None
    if ice is not None:
        clear = above + dawn + lit_by_moon
        above, dawn, lit_by_moon = cirrus.seen_through(ice, above, dawn, lit_by_moon, felt(sources.MOONLIGHT))
        change = (above + dawn + lit_by_moon - clear).sum(axis=0) * through
    # Clouds show the light from above, blurred and dimmed, on their underside.
    ambient = (above + dawn + lit_by_moon).mean(axis=(1, 2), keepdims=True)
    relief = np.clip(1.0 + texture, 0.3, 1.9)
    underside = (0.35 * ambient + 0.25 * (dawn + lit_by_moon)) * relief
    haze = felt(sources.spectrum_between(sources.LAMP_WHITE, sources.SODIUM, scene.veil_warmth)) * scene.veil
    towns = np.zeros_like(above) + haze * (0.5 + 0.5 * np.sqrt(np.minimum(view.airmass, 12.0)))
    underside += haze * relief
    for town in scene.towns:
        spectrum = felt(sources.spectrum_between(sources.LAMP_WHITE, sources.SODIUM, town.warmth))
        towns += spectrum * sources.town_glow(town, view)
        # Town light fills the whole underside of a deck, more towards the town.
        underside += spectrum * (0.25 * town.level * (0.3 + np.sin(view.zenith) ** 2) * relief)
    rest = (above + dawn + lit_by_moon) * through + underside * cloud + towns * (1.0 + 1.2 * cloud)
    lit_by_moon = lit_by_moon * through
    town_lit: FloatArray | None = None
    if ice is not None:
        town_lit = cirrus.TOWN_LIT * towns * (1.0 - ice.through)
        rest += town_lit
        through = through * ice.through
    white, warm = sources.draw_stars(scene.stars, view, through * air)
    rest += felt(sources.LAMP_WHITE) * white + felt(sources.TWILIGHT_RED) * warm
    stray = moon_glare(scene, view, through, cloud, felt(sources.MOONLIGHT))
    rest += stray
    shown = cloud
    cloud = 1.0 - through
    aurora, peaks = _aurora(scene, camera, view, through * air, cloud)
    if change is not None and ice is not None and town_lit is not None:
        shown = _shown(camera, view, shown, ice, change + town_lit.sum(axis=0), rest)
        cloud = np.maximum(cloud, cirrus.weight(change, rest.sum(axis=0)))
    if scene.dome.rings:
        rest = rest * (1.0 + rings(scene, view))
    hidden = _skyline(scene.skyline, view)
    ground = np.float32(scene.skyline.glow) * rest.mean(axis=(1, 2), keepdims=True)
    rest, aurora = np.where(hidden, ground, rest), np.where(hidden, 0.0, aurora)
    for lamp in scene.lamps:
        spectrum = felt(sources.spectrum_between(sources.LAMP_WHITE, sources.SODIUM, lamp.warmth))
        rest += spectrum * sources.lamp_light(lamp, view)
    sky = view.is_inside & ~hidden & open_field(camera, view)
    moon_share = _moon_share(scene, view, lit_by_moon + stray, rest, sky)
    seen = rest.sum(axis=0)[sky]
    is_glaring = bool(sky.any()) and bool(np.percentile(seen[::5], 97) > GLARING * np.median(seen[::5]))
    high = sky & (view.zenith < np.radians(75))
    veiled = float((cloud[high] > VEILED).mean()) if high.any() else 0.0
    return _Light(rest, aurora.astype(np.float32), cloud, shown, sky, peaks, veiled, moon_share, is_glaring)


def _shown(
    camera: Camera, view: View, cloud: FloatArray, ice: cirrus.Ice, change: FloatArray, rest: FloatArray
) -> FloatArray:
    """Cloud as a viewer tells it: what the decks stop, and what shows the ice."""
    seen = rest * lens_transmission(camera, view)
    noise = noise_level(camera, seen, exposure_gain(camera, rest, view))
    grain = np.sqrt(np.square(noise).sum(axis=0)) / np.maximum(seen.sum(axis=0), 1e-6)
    stopped = 1.0 - (1.0 - cloud) * (1.0 - cirrus.HIDES * (1.0 - ice.through))
    evident = cirrus.evidence(change, rest.sum(axis=0), np.minimum(grain, 10.0), view)
    return np.asarray(np.maximum(stopped, evident), np.float32)


def _through(scene: Scene, view: View) -> tuple[FloatArray, FloatArray]:
    """Transmission of all the decks, and the texture of what they look like."""
    depth, texture = np.zeros(view.shape, np.float32), np.zeros(view.shape, np.float32)
    for deck in scene.decks:
        one, relief = optical_depth(deck, view)
        depth, texture = depth + one, texture + relief
    return np.exp(-depth), texture


def _aurora(
    scene: Scene, camera: Camera, view: View, through: FloatArray, cloud: FloatArray
) -> tuple[FloatArray, dict[SkyClass, float]]:
    """Light of the aurora, what clouds show of it included, and how bright each kind of form is."""
    lines = np.zeros((3, *view.shape), np.float32)
    peaks: dict[SkyClass, float] = {}
    layers = int(np.clip(16 * max(view.shape) / 160, 14, 44))
    greens: list[tuple[SkyClass, FloatArray]] = []
    curtains = [form for form in scene.forms if isinstance(form, Curtain)]
    if curtains:
        dip_deg = scene.field_dip_deg * scene.field_poleward
        lines, sheets = curtains_light(curtains, view, dip_deg, layers)
        greens += [(one.sky_class, sheet) for one, sheet in zip(curtains, sheets, strict=True)]
    for form in scene.forms:
        if isinstance(form, Glow):
            light = glow_light(form, view) * np.float32(form.brightness_kr)
            greens.append((form.sky_class, light[0]))
            lines += light
    for name, green in greens:
        seen = (green * through)[::2, ::2][view.zenith[::2, ::2] < 1.4]
        place = max(1, seen.size // 100)
        peaks[name] = max(peaks.get(name, 0.0), float(np.partition(seen, -place)[-place]))
    felt = np.tensordot(camera.response[:, 3:], lines, axes=1)
    mean = felt.mean(axis=(1, 2), keepdims=True)
    blurred = np.stack([cv2.blur(channel, (15, 15)) for channel in felt])
    return felt * through + (0.25 * mean + 0.15 * blurred) * cloud, peaks


def _moon_share(
    scene: Scene, view: View, moonlit: FloatArray, rest: FloatArray, sky: NDArray[np.bool_]
) -> float:
    """Moonlight over all other light, at the median of the open sky; 0 where the Moon itself is hidden."""
    moon = scene.moon
    if moon is None or moon.elevation_deg < 0 or not sky.any():
        return 0.0
    x, y = view.circle.pixel(np.asarray(90.0 - moon.elevation_deg), np.asarray(moon.azimuth_deg))
    row, column = round(float(y)), round(float(x))
    if not (0 <= row < view.shape[0] and 0 <= column < view.shape[1] and sky[row, column]):
        return 0.0
    part, whole = moonlit.sum(axis=0)[sky], rest.sum(axis=0)[sky]
    share = float(np.median(part / np.maximum(whole, 1e-6)))
    return share / max(1.0 - share, 1e-3)


def _skyline(skyline: Skyline, view: View) -> NDArray[np.bool_]:
    """Where hills, trees, buildings and masts stand before the sky."""
    height_deg = 90.0 - np.degrees(view.zenith)
    low = height_deg < 40.0
    turn = np.degrees(view.azimuth)
    hills = tile(skyline.seed, 26)[skyline.seed % 256]
    edge = skyline.base_deg * (1.0 + 0.5 * np.interp(turn * (256 / 360.0), np.arange(256), hills, period=256))
    if skyline.trees_deg > 0:
        trees = tile(skyline.seed + 1, 16)[(skyline.seed // 5) % 256]
        crowns = np.interp(turn * (3 * 256 / 360.0), np.arange(256), trees, period=256)
        edge = edge + skyline.trees_deg * np.clip(
            crowns + 0.4 * np.interp(turn * 0.71, np.arange(256), hills), 0, 3
        )
    hidden = low & (height_deg < edge)
    for azimuth, half_width, top in skyline.blocks:
        apart = np.abs((turn - azimuth + 180.0) % 360.0 - 180.0)
        hidden |= (apart < half_width * (1.0 - 0.5 * np.clip(height_deg / top, 0, 1))) & (height_deg < top)
    for azimuth, top in skyline.masts:
        apart = np.abs((turn - azimuth + 180.0) % 360.0 - 180.0) * np.sin(view.zenith)
        hidden |= (apart < 0.8 * view.circle.max_zenith_deg / view.circle.radius_px) & (height_deg < top)
    return hidden & view.is_inside


def _dome_cover(scene: Scene, view: View) -> FloatArray | None:
    """What snow and dew on the dome hide, 0 to 1; None for a clean one."""
    dome = scene.dome
    if dome.snow <= 0 and dome.dew <= 0:
        return None
    x, y = view.east * np.float32(100), view.north * np.float32(100)
    cover = np.zeros(view.shape, np.float32)
    if dome.snow > 0:
        lumps = noise(x, y, dome.seed, 160.0, 30)
        cover = np.clip((lumps - np.float32(1.6 - 3.4 * dome.snow)) * 3.0, 0, 0.97)
    if dome.dew > 0:
        cover = np.maximum(
            cover, np.float32(dome.dew) * np.clip(0.8 + 0.3 * noise(x, y, dome.seed + 1, 60, 22), 0, 1)
        )
    return np.asarray(cover, np.float32)


def _contrast(light: _Light, camera: Camera, view: View, aurora: FloatArray) -> float:
    """Light of the aurora beyond its own even part, over the rest, in the best hundredth of the sky."""
    sky = light.sky & (view.true_zenith_deg < 88)
    if sky.sum() < 200:
        return 0.0
    best = 0.0
    for one, rest in zip(aurora, light.rest, strict=True):
        seen, base = one[sky], rest[sky] + np.float32(camera.leak) * float(rest.mean())
        even = np.percentile(seen[::7], 20)
        ratio = (seen - even) / np.maximum(base + even, 1e-6)
        place = max(1, ratio.size // 100)
        best = max(best, float(np.partition(ratio, -place)[-place]))
    return best


def _above_noise(light: _Light, camera: Camera, view: View, aurora: FloatArray) -> bool:
    """Whether the aurora can be told from noise over patches of three pixels."""
    total = (light.rest + aurora) * lens_transmission(camera, view)
    gain = exposure_gain(camera, total, view)
    ratio = aurora * lens_transmission(camera, view) / noise_level(camera, total, gain)
    sky = light.sky
    place = max(1, int(sky.sum()) // 100)
    return any(float(np.partition(one[sky], -place)[-place]) > 1.5 for one in ratio)


def _is_seen(camera: Camera, view: View, total: FloatArray, sky: NDArray[np.bool_]) -> bool:
    """Whether the picture holds more than the detector's noise."""
    if sky.sum() < 200:
        return False
    gain = exposure_gain(camera, total, view)
    ratio = total / noise_level(camera, total, gain)
    return float(np.median(ratio[:, sky])) > _LEAST_SIGNAL


def _is_burnt(camera: Camera, pixels: NDArray[np.generic], sky: NDArray[np.bool_]) -> bool:
    """Whether half of the sky is white."""
    top = 0.98 * (2**camera.kind.bits - 1)
    return float((pixels[sky] >= top).mean()) > _BURNT


def _evident(light: _Light, camera: Camera, cover: float) -> float:
    """Contrast from which the brightest form is evident."""
    peaks = light.peaks
    is_glow = bool(peaks) and max(peaks, key=lambda name: peaks[name]) is SkyClass.DIFFUSE
    limit = EVIDENT_GLOW if is_glow else EVIDENT
    if cover > CLOUDY or light.moon_share > 1.0:
        limit *= EVIDENT_THROUGH
    return limit * (EVIDENT_IN_COLOUR if camera.is_colour else 1.0)


def _named(
    scene: Scene, light: _Light, contrast: float, limit: float, cover: float, *, is_seen: bool
) -> SkyClass | None:
    """The class by the rules at the top."""
    if not is_seen or scene.sun_elevation_deg > _BRIGHTEST_SUN_DEG:
        return None
    if scene.dome.snow > _SPOILT_DOME or scene.dome.dew > _SPOILT_DOME:
        return None
    if contrast > limit:
        return _brightest(light.peaks)
    if contrast > ABSENT:
        return None
    if cover > CLOUDY:
        return SkyClass.CLOUD
    if cover > CLEAR or (scene.cirrus and light.veiled > CLEAR):
        return None
    if light.moon_share > 1.0:
        return SkyClass.MOON
    return SkyClass.CLEAR if light.moon_share < 1 / 3 and not light.is_glaring else None


def _brightest(peaks: dict[SkyClass, float]) -> SkyClass | None:
    """The brightest form; None where two are all but alike."""
    order = sorted(peaks, key=lambda name: peaks[name], reverse=True)
    if len(order) > 1 and peaks[order[1]] > 0.7 * peaks[order[0]]:
        return None
    return order[0]
