"""Measure networks and classical methods on a truth, through ONNX Runtime; needs no torch."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.hmi_enhancement import classical
from models.hmi_enhancement.comparison import contrast, flux_error, inner, psnr_db, ssim
from models.hmi_enhancement.data import quantity_of, read_truth, rows_of
from models.hmi_enhancement.options import EvaluateOptions
from models.hmi_enhancement.psf import PSFS, WACHTER, Psf, degrade, redegrade
from models.registry import ModelDescription, read_manifest, sha256_of
from models.reports import require_place
from models.runtime import Runtime
from observatory.analysis import Quantity
from observatory.errors import UnusableInputError

FloatArray = NDArray[np.floating]
Picture = NDArray[np.float32]
Method = Callable[[Picture], Picture]

_TILE_PX = 512  # of the input: bounds memory with truths of any size
_REDEGRADED_BORDER = 12  # input pixels whose surroundings are not known


def evaluate(options: EvaluateOptions) -> dict[str, Any]:
    """Degrade a truth as HMI does, enhance it with each method, and compare with twice the aperture.

    Returns
    -------
    dict
        ``methods``: for each ``method`` its ``psnr`` (dB; peak: the truth's maximum minus its minimum), ``ssim``,
        ``flux_error`` (share of the flux), ``contrast`` (rms over mean; of the field rms in kG),
        ``contrast_of_truth`` and ``residual`` (rms of the input minus the result degraded again);
        8 pixels at each edge do not count. ``trained_on``: whether rows of this file trained the
        shipped network.

    Raises
    ------
    UnusableInputError
        When the truth or an option cannot be used.
    ModelError
        When a network is missing or altered.
    """
    require_place(options.output)
    quantity = quantity_of(options.quantity)
    if options.psf not in ("", *PSFS):
        raise UnusableInputError(f"psf {options.psf}: there are {' and '.join(PSFS)}")
    if not 0 <= options.noise < 1:
        raise UnusableInputError(f"noise {options.noise:g}: it is rms in quiet Suns or kG, 0 to 1")
    if options.seed < 0:
        raise UnusableInputError(f"seed {options.seed}: give 0 or more")
    if options.format not in ("json", "table"):
        raise UnusableInputError(f"format {options.format}: there are json and table")
    truth = read_truth(options.truth, options.pixel_km, quantity, options.rows)
    shipped = read_manifest(options.networks / quantity / "manifest.toml")
    name = options.psf or str(shipped.parameters["psf"])
    psf = PSFS.get(name, WACHTER)  # of both functions it is the measured one
    random = np.random.default_rng(options.seed)
    case = Case(quantity, psf, *degrade(truth.pixels, options.pixel_km, psf, options.noise, random))
    pictures = {name: method(case.observed) for name, method in methods_of(options, shipped, psf).items()}
    result: dict[str, Any] = {
        "truth": truth.name,
        "quantity": str(quantity),
        "psf": name_of(psf),
        "noise": options.noise,
        "input_px": list(case.observed.shape),
        "model": shipped.identity.label,
        "trained_on": is_trained_on(shipped, options),
        "methods": [{"method": name} | case.measured(found) for name, found in pictures.items()],
    }
    if result["trained_on"]:
        sys.stderr.write("rows of this file trained the network: these are no figures on new pictures\n")
    _write(options, result, case, pictures)
    return result


@dataclass(frozen=True)
class Case:
    """What was observed, and what twice the aperture would show."""

    quantity: Quantity
    psf: Psf
    observed: Picture
    target: Picture

    def measured(self, found: Picture) -> dict[str, float]:
        """Figures of one method's picture."""
        is_field = self.quantity is Quantity.FIELD
        residual = inner(redegrade(found, self.psf) - self.observed, _REDEGRADED_BORDER)
        figures = {
            "psnr": psnr_db(found, self.target),
            "ssim": ssim(found, self.target),
            "flux_error": flux_error(found, self.observed, is_field=is_field),
            "contrast": contrast(found, is_field=is_field),
            "contrast_of_truth": contrast(self.target, is_field=is_field),
        }
        if is_field:
            strength, whole = (float(np.abs(inner(part)).mean()) for part in (found, self.target))
            figures["unsigned_flux_ratio"] = strength / whole
        if residual.size:
            figures["residual"] = float(residual.std())
        return {name: round(value, 6) for name, value in figures.items()}


def name_of(psf: Psf) -> str:
    """Name of a point spread function."""
    return next(name for name, known in PSFS.items() if known == psf)


def methods_of(options: EvaluateOptions, shipped: ModelDescription, psf: Psf) -> dict[str, Method]:
    """All methods by name, the simplest first."""
    runtime = Runtime(options.device, options.threads)
    fitted = classical.load(shipped.path.parent / classical.FILE, name_of(psf))
    methods: dict[str, Method] = {
        "bicubic": classical.bicubic,
        "wiener": fitted.wiener_of,
        "linear": fitted.linear_of,
        "richardson-lucy": lambda observed: fitted.richardson_lucy_of(observed, psf),
    }
    suffix = "_field" if shipped.parameters["quantity"] == Quantity.FIELD else ""
    published = options.networks / f"published{suffix}" / "manifest.toml"
    if published.exists():
        methods["published"] = network_method(read_manifest(published), runtime)
    methods["shipped"] = network_method(shipped, runtime)
    return methods


def network_method(model: ModelDescription, runtime: Runtime) -> Method:
    """A network over a picture of any size.

    Raises
    ------
    ModelError
        When its file is missing or altered.
    """
    model.verify()
    halo = int(model.parameters["halo_px"])
    halo += halo % 2  # windows begin at even pixels, which `encdec` needs

    def enhanced(observed: Picture) -> Picture:
        session = runtime.session(model.path)
        result = np.empty((2 * observed.shape[0], 2 * observed.shape[1]), np.float32)
        for window, kept, place in _tiles(observed.shape, halo):
            made = session.run({"image": np.ascontiguousarray(observed[window])[None, None]})["enhanced"]
            result[place] = made[0, 0][kept]
        return result

    return enhanced


_Slices = tuple[slice, slice]


def _tiles(shape: tuple[int, ...], halo: int) -> Iterator[tuple[_Slices, _Slices, _Slices]]:
    """Windows with their halo, what of each result is kept, and its place in the whole."""
    for top in range(0, shape[0], _TILE_PX):
        for left in range(0, shape[1], _TILE_PX):
            (wy, ky, py), (wx, kx, px) = (
                _cut(first, length, halo) for first, length in zip((top, left), shape, strict=True)
            )
            yield (wy, wx), (ky, kx), (py, px)


def _cut(first: int, length: int, halo: int) -> tuple[slice, slice, slice]:
    last = min(first + _TILE_PX, length)
    begin, end = max(0, first - halo), min(length, last + halo)
    return slice(begin, end), slice(2 * (first - begin), 2 * (last - begin)), slice(2 * first, 2 * last)


def is_trained_on(model: ModelDescription, options: EvaluateOptions) -> bool:
    """Whether rows of the truth are among those that trained a network, by what its manifest says."""
    digest = sha256_of(options.truth)
    for stated in trained_truths(model):
        if stated.get("sha256") != digest:
            continue
        first, last = rows_of(options.rows, 2**31)
        from_row, to_row = rows_of(stated.get("rows", ""), 2**31)
        if first < to_row and from_row < last:
            return True
    return False


def trained_truths(model: ModelDescription) -> list[Mapping[str, str]]:
    """What the manifest of a network says of the files that trained it."""
    manifest = tomllib.loads((model.path.parent / "manifest.toml").read_text(encoding="utf-8"))
    return list(manifest["training"].get("truths", []))


def _write(
    options: EvaluateOptions, result: Mapping[str, Any], case: Case, pictures: Mapping[str, Picture]
) -> None:
    if options.output is not None:
        options.output.write_text(json.dumps(result, indent=1), encoding="utf-8")
    if options.plots is not None:
        from models.hmi_enhancement.figures import draw_methods

        options.plots.mkdir(parents=True, exist_ok=True)
        draw_methods(options.plots / "methods.png", case.observed, pictures, case.target)
    if options.format == "table":
        sys.stderr.write(table(result) + "\n")


def table(result: Mapping[str, Any]) -> str:
    """The same for reading."""
    return "\n".join(
        f"{one['method']:16} psnr {one['psnr']:6.2f} dB  ssim {one['ssim']:.4f}  flux {100 * one['flux_error']:+.3f} %"
        f"  contrast {one['contrast']:.4f} (truth {one['contrast_of_truth']:.4f})"
        for one in result["methods"]
    )
