"""Numbers, as addresses and JSON bring them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from service.filters import MAX_ID


def _in_digits(word: Any) -> Any:
    """Take digits alone: 1.0, +1 and 1_0 are whole numbers to pydantic, too."""
    if not (isinstance(word, str) and word.isascii() and word.isdigit()):
        raise ValueError("needs to be a whole number, in digits alone")
    return word


def no_truth(given: Any) -> Any:
    """Refuse JSON's true and false for a number: to pydantic they are 1 and 0."""
    if isinstance(given, bool):
        raise ValueError("needs to be a number")
    return given


RowNumber = Annotated[int, Field(ge=1, le=MAX_ID), BeforeValidator(_in_digits)]
