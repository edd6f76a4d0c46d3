"""Measure the model: good simulated frames called degraded, injected defects found and named."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from models.allsky_quality.defects import DEFECTS
from models.allsky_quality.good_skies import good_skies
from models.allsky_quality.inference import AllSkyQuality
from models.allsky_quality.options import EvaluateOptions
from models.simulate.allsky_cameras import TESTING_KINDS
from observatory.analysis import Cause, Quality, SkyFacts
from observatory.fisheye import Fisheye
from observatory.frame import Frame
from observatory.sky_view import circle_of


def evaluate(options: EvaluateOptions) -> dict[str, Any]:
    """Good frames called degraded, and the share of defects found and named, at cameras of unseen kinds.

    Returns
    -------
    dict
        ``good``, ``good_called_degraded`` and why; ``defects``: for each the share called degraded and the
        share with a right cause named. Cloud is not measured here: it is the aurora network's.
    """
    model = AllSkyQuality()
    random = np.random.default_rng((options.seed, 9))
    why, found, named = Counter[str](), Counter[str](), Counter[str]()
    bad = 0
    for frame, circle, facts, _ in islice(good_skies(random, TESTING_KINDS, options.size_px), options.frames):
        quality = _judged(model, frame, circle, facts)
        bad += quality.is_degraded
        why.update(item.cause.value for item in quality.causes)
        for name, (defect, causes) in DEFECTS.items():
            spoilt = replace(frame, pixels=defect(frame.pixels, circle, random))
            # Where the sky lies is then not known beforehand: there may be none.
            seen = circle_of(replace(spoilt, fisheye=None)) if Cause.NO_TARGET in causes else circle
            quality = _judged(model, spoilt, seen, _moonlit(facts) if Cause.MOON_GLARE in causes else facts)
            found[name] += quality.is_degraded
            named[name] += any(item.cause in causes for item in quality.causes)
    return {
        "good": options.frames,
        "good_called_degraded": bad,
        "causes_of_good": dict(why),
        "defects": {
            name: {"degraded": found[name] / options.frames, "named": named[name] / options.frames}
            for name in DEFECTS
        },
    }


def _judged(model: AllSkyQuality, frame: Frame, circle: Fisheye | None, facts: SkyFacts) -> Quality:
    return model.judge(model.read(frame, circle, facts))


def _moonlit(facts: SkyFacts) -> SkyFacts:
    return replace(facts, moon_elevation_deg=40.0, moon_illuminated=0.9)
