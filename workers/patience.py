"""What becomes of claimed work that fails, and short writes that must not be given up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

import structlog

from observatory.errors import TransientError, UnusableInputError

log = structlog.get_logger(__name__)

_T = TypeVar("_T")
_AWAIT_DATABASE_S = 1.0
_RETRY_TRANSIENT_S = 5.0
_MOST_BACKOFF_S = 60.0
_is_ending = threading.Event()  # this process waits for the database no more


class GiveBack(Protocol):
    """Let claimed work wait again until a time; a failure that will pass is no attempt."""

    def __call__(self, retry_at: datetime, *, is_counted: bool) -> object: ...


@dataclass(frozen=True)
class Claim:
    """How one claim is ended when its work fails.

    Attributes
    ----------
    what : str
        Name of the work in the log: ``frame`` gives ``frame_rejected``, ``frame_delayed``, ``frame_defect``.
    attempts, most_attempts : int
        The one at hand counts.
    reject : callable
        End it: its input is of no use, for the reason given.
    fail : callable
        End it: all attempts ended in a defect.
    give_back : GiveBack
    """

    what: str
    attempts: int
    most_attempts: int
    reject: Callable[[str], object]
    fail: Callable[[str], object]
    give_back: GiveBack


def see_through(work: Callable[[], str], claim: Claim, bound: Any) -> str:
    """Do claimed work and return its outcome; when it fails, the error's type decides.

    Parameters
    ----------
    work : callable
        Returns the outcome's name.
    bound : structlog logger
        Names the work in every line.

    Returns
    -------
    str
        Work's own word, or ``rejected``, ``retried`` or ``failed``.
    """
    try:
        return work()
    except UnusableInputError as error:
        reason = str(error)
        insist(lambda: claim.reject(reason))
        bound.info(f"{claim.what}_rejected", reason=reason)
        return "rejected"
    except TransientError as error:
        _wait_again(claim, _RETRY_TRANSIENT_S, is_counted=False)
        bound.warning(f"{claim.what}_delayed", reason=str(error))
        return "retried"
    except Exception as error:  # noqa: BLE001 - whatever is not in our tree is a defect
        bound.exception(f"{claim.what}_defect", attempt=claim.attempts)
        if claim.attempts < claim.most_attempts:
            _wait_again(claim, min(2.0**claim.attempts, _MOST_BACKOFF_S), is_counted=True)
            return "retried"
        reason = f"defect after {claim.attempts} attempts: {type(error).__name__}: {error}"
        insist(lambda: claim.fail(reason))
        return "failed"


def _wait_again(claim: Claim, seconds: float, *, is_counted: bool) -> None:
    retry_at = datetime.now(UTC) + timedelta(seconds=seconds)
    insist(lambda: claim.give_back(retry_at, is_counted=is_counted))


def insist(write: Callable[[], _T]) -> _T:
    """Repeat a short write until the database takes it.

    A claim that could not be ended would be taken back by nobody: this worker lives. Whoever
    stops the worker meanwhile makes it silent, and the sweeper takes the claim back then.

    Raises
    ------
    TransientError
        When the database does not take it, and this process ends (`insist_no_more`).
    """
    while True:
        try:
            return write()
        except TransientError as error:
            log.warning("database_awaited", error=str(error))
            if _is_ending.wait(_AWAIT_DATABASE_S):
                raise


def insist_no_more(*, is_ending: bool = True) -> None:
    """Leave claims to the sweeper from now on, or insist again: threads cannot be stopped as processes can."""
    if is_ending:
        _is_ending.set()
    else:
        _is_ending.clear()
