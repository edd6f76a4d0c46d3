"""Enhance one frame of HMI: its own measure, tiles, trust, numbers (numpy, OpenCV and ONNX Runtime)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.hmi_enhancement import domain
from models.hmi_enhancement.gaps import certain, disk_weight, fill_gaps
from models.hmi_enhancement.numbers import contrasts, unsigned_flux_mx
from models.hmi_enhancement.psf import PSFS, Psf
from models.hmi_enhancement.resampling import Seen, brought_back, resampled
from models.hmi_enhancement.stand_ins import stand_ins
from models.hmi_enhancement.tiles import Tiling, enhance_tiled
from models.hmi_enhancement.trust import compare, fade_at_limb, middle_of, noise_of, prepare
from models.registry import ModelDescription, load
from models.runtime import Runtime, Session
from observatory.analysis import Enhancement, EnhancementNumbers, ModelIdentity, Quantity
from observatory.errors import UnusableInputError
from observatory.frame import Frame
from observatory.photosphere import Box, Normalised, NotAPhotosphereError, normalise, strips, to_kilogauss
from observatory.photosphere_view import view_of
from observatory.sun import compare_pointing, fit_limb

FloatArray = NDArray[np.float32]

_TILE_PX = {True: 512, False: 384}  # on a GPU or not; smaller ones overlap more, larger ones cost memory
_BATCH = {True: 8, False: 1}
_ALIGN_PX = 2  # strides of the published networks
_FULL_DISK_PX = 1024  # a frame of this side may show a whole limb
_WHOLE_DISK = 1.9  # radii that a frame of the whole disk has at least
_SURE_LIMB = 0.8  # share of the rays that agree
_LIMB_ERROR = 0.002  # of the radius: four pixels
_WARM_UP_PX = 64
_CONTEXT_PX = 24  # around a window: what the network and the way back see of its surroundings
_SEEN_PX = 128  # a side, of a window with its surroundings: a few granules do not tell what they are
_NEGATIVE = 0.05  # share of negative pixels that no continuum has


class HmiEnhancement:
    """Continuum and line-of-sight field, deconvolved and sampled twice as finely.

    Parameters
    ----------
    runtime : Runtime
    descriptions : Mapping, optional
        Other networks than the shipped ones and those that the runtime names, by quantity.
    threads : int
        Tiles and strips at once: instead of threads within one call, of which `runtime` has its own number.

    Raises
    ------
    ModelError
        When a network is missing or altered.
    """

    names: Mapping[Quantity, str] = {
        Quantity.CONTINUUM: "hmi_enhancement",
        Quantity.FIELD: "hmi_enhancement_field",
    }

    def __init__(
        self,
        runtime: Runtime,
        descriptions: Mapping[Quantity, ModelDescription] | None = None,
        *,
        threads: int = 1,
    ) -> None:
        self._runtime = runtime
        chosen = {**stand_ins(runtime.networks), **(descriptions or {})}
        self._networks = {
            quantity: _Network(runtime, chosen.get(quantity) or load(name))
            for quantity, name in self.names.items()
        }
        self.threads = threads

    def identity_of(self, quantity: Quantity) -> ModelIdentity:
        """What results keep of the network of a quantity."""
        return self._networks[quantity].description.identity

    def warm_up(self) -> None:
        """Make the sessions and run each once."""
        for network in self._networks.values():
            network.run(np.zeros((1, 1, _WARM_UP_PX, _WARM_UP_PX), np.float32))
            prepare(network.psf)

    def reason_against(self, frame: Frame) -> str | None:
        """Say what is wrong with a frame's scale, unit or values; None when they can be."""
        quantity = quantity_of(frame)
        try:
            frame = _with_disk(frame, quantity)
            domain.check_frame(frame)
            _normalised(frame, quantity, (0, 0, frame.width, frame.height))
        except UnusableInputError as error:
            return str(error)
        return None

    def enhance(self, frame: Frame, window_px: Box | None = None) -> Enhancement:
        """Enhance a frame or a window of it.

        Parameters
        ----------
        frame : Frame
            Continuum or line-of-sight field, full disk, cut-out or patch; at least 6400 pixels, 80 x 80.
        window_px : tuple (x0, y0, x1, y1), optional
            First pixel and the one after the last, at least 16 pixels a side. What lies around is looked at
            and not enhanced: 24 pixels, and as many as make 128 a side where the frame has them. Noise and
            residual are those of all that is looked at.

        Raises
        ------
        OutOfDomainError
            When the frame is none that the network has learned: the reason in plain words.
        UnusableInputError
            When units or values cannot be, or the window lies outside the frame.
        """
        quantity = quantity_of(frame)
        network = self._networks[quantity]
        frame = _with_disk(frame, quantity)
        domain.check_frame(frame)
        window = _checked_window(frame, window_px)
        normalised = _normalised(frame, quantity, _grown(window, network.halo_px, frame))
        quiet = 1.0 if quantity is Quantity.CONTINUUM else 0.0
        is_certain = certain(normalised)
        inner = _inside(window, normalised.box)
        domain.check_data(normalised.image, is_certain)
        domain.check_window(normalised.image[inner], is_certain[inner])
        fill_gaps(normalised, is_certain, quiet)
        scale = domain.relative_scale(frame) or 1.0
        is_taken = domain.TAKEN_SCALES[0] <= scale <= domain.TAKEN_SCALES[1]
        seen = Seen(normalised.image, is_certain)
        if not is_taken:
            seen = resampled(normalised.image, is_certain, scale)
        noise = max(noise_of(seen.image, seen.is_certain), network.noise)
        domain.check_picture(seen.image, seen.is_certain, quantity, noise, _mu_of(normalised, is_certain))
        enhanced = enhance_tiled(
            seen.image, network.run, network.tiling(self.threads), is_wanted=seen.is_certain, fill=quiet
        )
        compared = compare(enhanced, seen.image, seen.is_certain, noise, network.psf, self.threads)
        trust = compared.trust
        if not is_taken:
            enhanced, trust = brought_back(enhanced, trust, is_certain.shape)
        fade_at_limb(trust, normalised)
        numbers = _numbers(quantity, normalised, enhanced, is_certain, inner)
        made = Enhancement(
            quantity=quantity,
            pixels=in_unit_of_frame(enhanced, frame, normalised, is_certain, self.threads)[_doubled(inner)],
            trust=trust[inner],
            window_px=window,
            numbers=EnhancementNumbers(
                **numbers,
                residual=compared.residual,
                noise=noise,
                trusted_fraction=_trusted_fraction(trust[inner], is_certain[inner]),
            ),
            model=network.description.identity,
        )
        is_part = made.trust.shape != trust.shape
        # A part of a larger array would keep all of it alive.
        return replace(made, pixels=made.pixels.copy(), trust=made.trust.copy()) if is_part else made


def quantity_of(frame: Frame) -> Quantity:
    """What a frame shows: its instrument's name says it, else the unit, else whether it is negative."""
    name = frame.instrument.lower()
    content = f"{frame.header.get('CONTENT', '')} {frame.unit or ''}".lower()
    if name == "hmi-continuum" or "continuum" in content:
        return Quantity.CONTINUUM
    if name == "hmi-magnetogram" or any(word in content for word in ("magnet", "gauss", "mx/cm")):
        return Quantity.FIELD
    sample = frame.pixels[:: max(1, frame.height // 256), :: max(1, frame.width // 256)]
    is_negative = float((sample < 0).mean()) > _NEGATIVE
    return Quantity.FIELD if is_negative else Quantity.CONTINUUM


def in_unit_of_frame(
    enhanced: FloatArray,
    frame: Frame,
    normalised: Normalised,
    is_certain: NDArray[np.bool_],
    threads: int = 1,
) -> FloatArray:
    """Turn a result into the frame's unit, in place: NaN where it has no data, its own pixels off the disk.

    Parameters
    ----------
    enhanced : ndarray (2 h, 2 w), float32
        In the unit of the network.
    normalised : Normalised
        What the network was given, (h, w).
    threads : int
        Strips at once.
    """
    height, width = is_certain.shape

    def work(rows: slice) -> None:
        fine = enhanced[2 * rows.start : 2 * rows.stop]
        if normalised.quiet is None:
            fine *= np.float32(normalised.unit_scale)
        else:
            fine *= _enlarged(rows, height, normalised.level_rows, cv2.INTER_LINEAR)
        if is_certain[rows].all():
            return
        if (normalised.data_mask[rows] & ~is_certain[rows]).any():
            _lay_own_pixels(fine, rows, frame, normalised)
        missing = (~normalised.data_mask[rows]).astype(np.uint8)
        if missing.any():
            wide = cv2.resize(missing, (2 * width, fine.shape[0]), interpolation=cv2.INTER_NEAREST)
            np.putmask(fine, wide, np.nan)

    with ThreadPoolExecutor(threads, thread_name_prefix="unit") as pool:
        list(pool.map(work, strips(height)))
    return enhanced


def _lay_own_pixels(fine: FloatArray, rows: slice, frame: Frame, normalised: Normalised) -> None:
    """Beyond the limb the frame's own pixels, finer; just inside it both."""
    x0, y0, x1, _ = normalised.box
    height = normalised.image.shape[0]

    def own(part: slice) -> FloatArray:
        pixels = np.asarray(frame.pixels[y0 + part.start : y0 + part.stop, x0:x1], np.float32)
        return np.nan_to_num(pixels)

    def weight(part: slice) -> FloatArray:
        found = disk_weight(normalised, part)
        assert found is not None  # without a view all that has data is certain
        return found

    say = _enlarged(rows, height, weight, cv2.INTER_LINEAR)
    is_ring = say < 1.0
    laid = _enlarged(rows, height, own, cv2.INTER_CUBIC)[is_ring]
    share = say[is_ring]
    fine[is_ring] = share * fine[is_ring] + (1 - share) * laid


def _enlarged(
    rows: slice, height: int, part_of: Callable[[slice], FloatArray], interpolation: int
) -> FloatArray:
    """Rows of a picture sampled twice as finely; the rows beside them are looked at too."""
    around = slice(max(0, rows.start - 3), min(height, rows.stop + 3))
    part = part_of(around)
    size = (2 * part.shape[1], 2 * part.shape[0])
    first = 2 * (rows.start - around.start)
    enlarged = np.asarray(cv2.resize(part, size, interpolation=interpolation), np.float32)
    return enlarged[first : first + 2 * (rows.stop - rows.start)]


def _with_disk(frame: Frame, quantity: Quantity) -> Frame:
    """Find the disk of a large continuum that says nothing of its pointing, or is seen to err."""
    if quantity is Quantity.FIELD or frame.pixels.ndim != 2 or min(frame.pixels.shape) < _FULL_DISK_PX:
        return frame
    stated = frame.pointing
    if stated is None:
        limb = None if view_of(frame) is not None else fit_limb(frame.pixels)
        return frame if limb is None else replace(frame, pointing=limb.to_pointing())
    if min(frame.pixels.shape) < _WHOLE_DISK * stated.radius_px:
        return frame
    limb = fit_limb(frame.pixels, stated)
    if limb is None or limb.fraction_accepted < _SURE_LIMB:
        return frame
    apart = compare_pointing(limb, stated)
    if max(apart.offset_fraction, abs(apart.radius_ratio - 1)) < _LIMB_ERROR:
        return frame
    return replace(frame, pointing=limb.to_pointing(stated.rsun_arcsec, stated.roll_deg))


def _normalised(frame: Frame, quantity: Quantity, box: Box) -> Normalised:
    try:
        return normalise(frame, box) if quantity is Quantity.CONTINUUM else to_kilogauss(frame, box)
    except NotAPhotosphereError as error:
        raise domain.OutOfDomainError(str(error)) from error


def _checked_window(frame: Frame, window: Box | None) -> Box:
    if window is None:
        return (0, 0, frame.width, frame.height)
    x0, y0, x1, y1 = window
    if not (0 <= x0 < x1 <= frame.width and 0 <= y0 < y1 <= frame.height):
        raise UnusableInputError(
            f"the window {window} (x0, y0, x1, y1) does not lie within the frame of {frame.width} x "
            f"{frame.height} pixels: give a smaller or another one"
        )
    domain.check_size(x1 - x0, y1 - y0)
    return window


def _grown(window: Box, halo_px: int, frame: Frame) -> Box:
    """A window and its surroundings: what the network sees, and enough to tell what it is."""
    context = max(_CONTEXT_PX, halo_px + 2)
    x0, x1 = _span(window[0], window[2], context, frame.width)
    y0, y1 = _span(window[1], window[3], context, frame.height)
    return x0, y0, x1, y1


def _span(first: int, end: int, context: int, length: int) -> tuple[int, int]:
    """Pixels of one axis, grown on both sides, and where the frame ends on the other."""
    wanted = min(length, max(end - first + 2 * context, _SEEN_PX))
    begin = min(max(0, first - (wanted - (end - first)) // 2), length - wanted)
    return min(begin, max(0, first - context)), max(begin + wanted, min(length, end + context))


def _inside(window: Box, box: Box) -> tuple[slice, slice]:
    x0, y0, x1, y1 = window
    return slice(y0 - box[1], y1 - box[1]), slice(x0 - box[0], x1 - box[0])


def _doubled(part: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, columns = part
    return slice(2 * rows.start, 2 * rows.stop), slice(2 * columns.start, 2 * columns.stop)


def _mu_of(normalised: Normalised, is_certain: NDArray[np.bool_]) -> float | None:
    """Cosine of the heliocentric angle in the middle of what is looked at."""
    if normalised.view is None:
        return None
    rows, columns = middle_of(is_certain)
    squared = normalised.mu_squared(rows)
    assert squared is not None  # there is a view
    thinned = squared[::4, columns][:, ::4][is_certain[rows, columns][::4, ::4]]
    return float(np.sqrt(np.median(thinned))) if thinned.size else None


def _trusted_fraction(trust: FloatArray, is_certain: NDArray[np.bool_]) -> float:
    count = int(is_certain.sum())
    return float((trust[is_certain] >= 0.5).sum()) / count if count else 0.0


def _numbers(
    quantity: Quantity,
    normalised: Normalised,
    enhanced: FloatArray,
    is_certain: NDArray[np.bool_],
    inner: tuple[slice, slice],
) -> dict[str, float | None]:
    counted = is_certain
    if counted[inner].shape != counted.shape:
        counted = np.zeros_like(is_certain)
        counted[inner] = is_certain[inner]
    contrast: tuple[float, float] | None = None
    flux: tuple[float | None, float | None] = (None, None)
    if quantity is Quantity.CONTINUUM:
        contrast = contrasts(normalised.image, enhanced, normalised, counted)
    else:
        flux = (
            unsigned_flux_mx(normalised.image, normalised, counted),
            unsigned_flux_mx(enhanced, normalised, counted),
        )
    return {
        "contrast_before": contrast[0] if contrast else None,
        "contrast_after": contrast[1] if contrast else None,
        "unsigned_flux_before_mx": flux[0],
        "unsigned_flux_after_mx": flux[1],
    }


class _Network:
    """One network, and what its manifest says of its use."""

    def __init__(self, runtime: Runtime, description: ModelDescription) -> None:
        self._runtime = runtime
        self.description = description
        parameters: Mapping[str, Any] = description.parameters
        self.noise = float(parameters["noise"])
        self.halo_px = int(parameters["halo_px"])
        self.multiple = int(parameters.get("align_px", _ALIGN_PX))
        is_on_gpu = runtime.device != "cpu"
        self.tile_px = int(parameters.get("tile_px", _TILE_PX[is_on_gpu]))
        self.batch = _BATCH[is_on_gpu]

    @cached_property
    def psf(self) -> Psf:
        return PSFS.get(str(self.description.parameters.get("psf")), Psf())

    def tiling(self, threads: int) -> Tiling:
        return Tiling(self.tile_px, self.halo_px, self.multiple, self.batch, threads)

    @property
    def session(self) -> Session:
        return self._runtime.session(self.description.path)

    def run(self, tiles: FloatArray) -> FloatArray:
        return np.asarray(self.session.run({"image": tiles}, ["enhanced"])["enhanced"], np.float32)
