"""How functions are compiled here: without the interpreter's lock, and kept on disk where that can be written."""

# What numba compiles takes its types from the arguments.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numba


def compiled(function):
    """Compile a function when it is first called for arguments of new types.

    Importing numba takes a quarter of a second, so modules that use this are imported where they are needed.
    """
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder can be written: compiled anew by each process
        return numba.njit(nogil=True)(function)
