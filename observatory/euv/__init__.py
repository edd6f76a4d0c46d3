"""Coronal frames brought to one form: brightness, disk, common grid (numpy and OpenCV)."""

from observatory.euv.disk import disk_of
from observatory.euv.grid import Gridded, on_grid
from observatory.euv.plane import Plane, exposure_normalised, monochrome

__all__ = ["Gridded", "Plane", "disk_of", "exposure_normalised", "monochrome", "on_grid"]
