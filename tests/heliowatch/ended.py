"""How a run of the command line ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import orjson


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict]:
        return [orjson.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Ended]
