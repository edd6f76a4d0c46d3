"""Is a coronal frame good, and if not, why and where: classical checks, no network."""

from models.aia_quality.inference import AiaQuality

__all__ = ["AiaQuality"]
