"""How functions are compiled here: without the interpreter's lock, and kept on disk where that can be written."""

# What numba compiles takes its types from the arguments.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from functools import partial

import numba


def compiled(function=None, *, may_contract=False):
    """Compile a function when it is first called for arguments of new types.

    Importing numba takes a quarter of a second, so modules that use this are imported where they are needed.
    What is divided by zero becomes infinite or NaN, as numpy has it: a loop that may raise is not vectorized.

    Parameters
    ----------
    may_contract : bool
        Whether a product and a sum may be rounded once instead of twice where the processor does both at once:
        faster, and the last digit depends on the processor.
    """
    if function is None:
        return partial(compiled, may_contract=may_contract)
    freedom = {"contract"} if may_contract else False
    compiling = partial(numba.njit, nogil=True, fastmath=freedom, error_model="numpy")
    try:
        return compiling(cache=True)(function)
    except RuntimeError:  # no folder can be written: compiled anew by each process
        return compiling()(function)
