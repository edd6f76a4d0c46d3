"""Golden frames of the H-alpha quality: clear disks, and disks spoilt beyond doubt."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np

from models.golden import Answer
from models.halpha_quality.inference import HalphaQuality
from models.runtime import Runtime
from models.simulate.degrade import degrade
from models.simulate.halpha import HalphaSun, HalphaTelescope
from observatory.analysis import Cause
from observatory.frame import Frame, RowOrder

_SIZE_PX = 512
_DATE = datetime(2020, 6, 1, 12, tzinfo=UTC)
_CLEAR = ((3, 0.35), (4, 0.6), (5, 1.0))  # Sun and contrast of the filter
_SPOILT = ((Cause.CLOUD, 0.7), (Cause.THIN_CLOUD, 0.35), (Cause.DEFOCUS, 8.0), (Cause.OFF_CENTRE, 0.4))


def answers(runtime: Runtime, name: str) -> Iterator[Answer]:
    """Answers of the network that `registry.load` gives for a name."""
    model = HalphaQuality(runtime)
    for seed, contrast in _CLEAR:
        sun = HalphaSun(seed, detail=_SIZE_PX).frame(_DATE, HalphaTelescope(_SIZE_PX, contrast=contrast))
        yield _answer(model, f"clear disk {seed}", sun.pixels, is_degraded=False)
    sun = HalphaSun(6, detail=_SIZE_PX).frame(_DATE, HalphaTelescope(_SIZE_PX))
    for place, (cause, severity) in enumerate(_SPOILT):
        spoilt = degrade(sun.pixels, sun.pointing, cause, np.random.default_rng(place), severity)
        yield _answer(model, cause.value.replace("_", " "), spoilt.pixels, is_degraded=True)


def _answer(model: HalphaQuality, words: str, pixels: np.ndarray, *, is_degraded: bool) -> Answer:
    quality = model.analyse(Frame(pixels, "kso-halpha", RowOrder.BOTTOM, _DATE))
    return Answer(
        frame=words,
        expected="degraded" if is_degraded else "clear",
        said=f"{'degraded' if quality.is_degraded else 'clear'}, {quality.score:.2f}",
        is_right=quality.is_degraded == is_degraded,
        value=quality.score,
    )
