"""Numbers of rows, as addresses bring them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from service.filters import MAX_ID


def _in_digits(word: Any) -> Any:
    """Take digits alone: 1.0, +1 and 1_0 are whole numbers to pydantic, too."""
    if not (isinstance(word, str) and word.isascii() and word.isdigit()):
        raise ValueError("needs to be a whole number, in digits alone")
    return word


RowNumber = Annotated[int, Field(ge=1, le=MAX_ID), BeforeValidator(_in_digits)]
