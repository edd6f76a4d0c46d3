"""What `score` and `analyse` promise to name, and a frame that is clear."""

from __future__ import annotations

from pathlib import Path

import heliowatch

CLEAR = Path(heliowatch.__file__).parent / "samples" / "bbso_halph_fl_20150801_174814.jpg"
PROMISED = {"file", "frame", "instrument", "date_obs", "score", "is_degraded", "p_value", "causes", "model"}
