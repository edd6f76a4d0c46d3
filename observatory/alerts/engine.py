"""The engine; its border to those who tell people is `Transition`."""

from __future__ import annotations

from observatory.alerts.transitions import Escalation as Escalation
from observatory.alerts.transitions import Kind as Kind
from observatory.alerts.transitions import Transition as Transition
