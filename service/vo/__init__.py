"""The Virtual Observatory's face: images by SIA 2.0, and what the service says of itself by VOSI."""

from __future__ import annotations

from service.vo.routes import router as router
