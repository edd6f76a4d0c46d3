"""The language that all rooms of Heliowatch speak: frames, analyses, errors, settings, storage."""

__version__ = "0.1.0"
