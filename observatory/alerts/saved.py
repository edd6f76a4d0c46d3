"""What the engine knows as plain JSON, and back."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from observatory.alerts.memory import Memory
from observatory.alerts.states import AlertState

T = TypeVar("T")

_MEMORY = TypeAdapter(Memory)
_STATE = TypeAdapter(AlertState)


def memory_json(memory: Memory) -> dict[str, Any]:
    """What is remembered of an instrument, as JSON."""
    return _MEMORY.dump_python(memory, mode="json")


def state_json(state: AlertState) -> dict[str, Any]:
    """An alert that is pending or fires, as JSON."""
    return _STATE.dump_python(state, mode="json")


def memory_of(payload: Any) -> Memory | None:
    """Undo `memory_json`; None for what another version wrote and this one cannot read."""
    return _read(_MEMORY, payload)


def state_of(payload: Any) -> AlertState | None:
    """Undo `state_json`; None as there."""
    return _read(_STATE, payload)


def _read(adapter: TypeAdapter[T], payload: Any) -> T | None:
    try:
        return adapter.validate_python(payload)
    except ValidationError:
        return None
