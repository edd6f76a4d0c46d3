"""From what was measured to one number: how a score comes about.

Three measures speak of clouds, all of the structure between R/12 and R/6. The network's
`transmission_band_rms` knows the Sun's own structure and takes it out, but its scale wanders on
cameras it never saw. `band_rms`, taken straight from the picture less its slow gradient, has the
right scale but counts plage too; it bounds the cloud from above. Their weighted geometric mean,
never above the bound, is the estimate that decides. `structure_rms`, with the gradient left in,
orders the heavy cases, where clouds outshine everything. Contrails, occulting edges and dust have
little power in the band and count by their own probability.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Index of the first cause that counts by its own probability (after cloud and thin_cloud).
_FIRST_LOCAL = 2
#: Kinds whose network learned severities from injected defects.
_INJECTED = ("physical", "both")


@dataclass(frozen=True)
class ScoreMapping:
    """Parameters of the score; all stand in the manifest.

    Attributes
    ----------
    kind : str
        ``physical`` (trained on injected defects), ``both`` (and on bad frames of one's own: the
        worse of both answers), ``learned`` (no injections: classifiers and content loss alone) or
        ``content`` (nor bad frames: content loss alone).
    severity_offset : float
        True band rms = exp(offset) * estimate, fitted on simulated and good real frames with
        injected clouds.
    network_share : float
        Weight of the network's logarithm in the estimate; the rest is `band_rms`.
    border : float
        Estimated band rms at which a frame is as likely degraded as not.
    faint_weight : float
        Log-odds per e-fold of band rms below the border.
    ceiling : float
        e-folds above the border at which the network's estimate is cut.
    heavy_weight, heavy_reference : float
        Log-odds per e-fold of `structure_rms`, and where it adds nothing.
    visible_share : float
        Share of the border from which a cloud can be seen and is named.
    local_ceiling : float
        Largest log-odds that a contrail, an occulting edge or dust adds by its probability.
    content_mean, content_deviation : float
        Of good frames: the published rule calls a frame bad at mean + 3 deviations.
    """

    kind: str = "physical"
    severity_offset: float = 0.0
    network_share: float = 0.4
    border: float = 0.0062
    faint_weight: float = 2.0
    ceiling: float = 0.3
    heavy_weight: float = 2.0
    heavy_reference: float = 0.008
    visible_share: float = 0.4
    local_ceiling: float = 1.5
    content_mean: float = 0.0
    content_deviation: float = 1.0

    def badness(self, measures: Mapping[str, float], cause_logits: NDArray[np.floating]) -> float:
        """Log-odds of being degraded; the score is 1 / (1 + exp(badness))."""
        if self.kind == "content":
            return self._content(measures)
        if self.kind == "learned":
            return max(self._classified(measures), self._content(measures))
        # Certainty is not severity: a sure contrail is no worse than a heavy cloud.
        local = min(float(np.max(cause_logits[_FIRST_LOCAL:])), self.local_ceiling)
        worst = max(self._cloud(measures), local)
        return max(worst, self._classified(measures)) if self.kind == "both" else worst

    def is_visible(self, measures: Mapping[str, float]) -> bool:
        """Whether a cloud that does not degrade the frame can be seen all the same."""
        return self.kind in _INJECTED and (self.cloud_rms(measures) > self.visible_share * self.border)

    def visibility(self, measures: Mapping[str, float], cause_logits: NDArray[np.floating]) -> float:
        """How far the region map counts, 0 to 1: it tells where, whatever the strength.

        Cells of a frame that is far from the border are not spoilt, so the map fades there.
        """
        if self.kind not in _INJECTED or float(np.max(cause_logits[_FIRST_LOCAL:])) > 0:
            return 1.0
        return float(min(1.0, (self.cloud_rms(measures) / (0.6 * self.border)) ** 2))

    def calibrated_band(self, measures: Mapping[str, float]) -> float:
        """The network's band rms on the scale of the truth."""
        return float(np.exp(self.severity_offset)) * max(measures["transmission_band_rms"], 1e-6)

    def cloud_rms(self, measures: Mapping[str, float]) -> float:
        """Estimated rms of the cloud's transmission between R/12 and R/6."""
        bound = max(measures["band_rms"], 1e-5)
        mean = self.calibrated_band(measures) ** self.network_share * bound ** (1 - self.network_share)
        return float(min(mean, bound))

    def _cloud(self, measures: Mapping[str, float]) -> float:
        folds = float(np.log(self.cloud_rms(measures) / self.border))
        # From none of it well below the border to all of it well above.
        gate = 1.0 / (1.0 + np.exp(-4.0 * folds))
        heavy = np.log(max(measures["structure_rms"], 1e-5) / self.heavy_reference)
        return self.faint_weight * min(folds, self.ceiling) + self.heavy_weight * gate * float(heavy)

    @staticmethod
    def _classified(measures: Mapping[str, float]) -> float:
        p = float(np.clip(measures["p_degraded"], 1e-6, 1 - 1e-6))
        return float(np.log(p / (1 - p)))

    def _content(self, measures: Mapping[str, float]) -> float:
        beyond = (measures["content_loss"] - self.content_mean) / max(self.content_deviation, 1e-9)
        return beyond - 3.0
