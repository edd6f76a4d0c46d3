"""Series over time by HAPI, the Heliophysics Application Programmer's Interface, version 3.3."""

from __future__ import annotations

from service.hapi.routes import router as router
