"""Numbers that frames, results and all else that is stored go by."""

from __future__ import annotations

HIGHEST = 2**63 - 1
"""What the databases count to."""
