"""Is an all-sky frame good, and if not, why and where: classical checks, no network."""

from models.allsky_quality.inference import AllSkyQuality

__all__ = ["AllSkyQuality"]
