"""Where a write waits for its turn."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import Depends, Request

from service.auth import UNSAFE
from service.context import Here


async def _turn(request: Request, here: Here) -> AsyncIterator[None]:
    if request.method not in UNSAFE:
        yield
        return
    await here.turns.take()
    try:
        yield
    finally:
        here.turns.give_back()


in_turn = Depends(_turn, scope="function")
"""Lets the handler of a write wait for its turn, once its body is there, and until its answer is made."""
