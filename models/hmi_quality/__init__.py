"""Is a frame of the photosphere good, and if not, why and where: classical checks, no network."""

from models.hmi_quality.inference import HmiQuality

__all__ = ["HmiQuality"]
