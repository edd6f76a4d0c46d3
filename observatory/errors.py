"""One tree of errors; the type says what may be done about it.

`TransientError`: the same work may succeed later, so retry with backoff.
`UnusableInputError`: the input will never work, so refuse it and record the reason.
`DefectError`: our own fault, so fail after the bounded attempts, record and alert.
Any exception outside this tree counts as a defect.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class HeliowatchError(Exception):
    """Root of all errors that Heliowatch raises on purpose; they cross between processes."""

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is pickled by its message, which is not what our constructors take.
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(kind: type[HeliowatchError], args: tuple[Any, ...], state: dict[str, Any]) -> HeliowatchError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class TransientError(HeliowatchError):
    """The surroundings failed (broker, database, disk, GPU memory): retry later."""


class StorageUnavailableError(TransientError):
    """The database or the product folder cannot be used now."""

    def __init__(self, what: str, detail: str) -> None:
        super().__init__(f"{what} cannot be used now ({detail})")
        self.what = what


class QueryTooLongError(HeliowatchError):
    """The database gave a question up because it took longer than the settings allow."""

    def __init__(self) -> None:
        super().__init__(
            "the question takes the database too long: ask for a shorter time or with more filters, "
            "or raise service.query_patience_s"
        )


class UnusableInputError(HeliowatchError):
    """The input cannot be used, now or later: reject it and say why."""


class UnreadableFileError(UnusableInputError):
    """The bytes are not a whole, well-formed file of a format that we read."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TooLargeError(UnusableInputError):
    """The file claims or unpacks to more than the limits allow."""

    def __init__(self, what: str, claimed: int, limit: int) -> None:
        super().__init__(
            f"{what} is {claimed:,}, above the limit of {limit:,}; "
            "raise the limit in the settings (limits) if the file is genuine"
        )
        self.claimed = claimed
        self.limit = limit


class VanishedFileError(UnusableInputError):
    """The file went away, or may not be read, between its event and our reading."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name} could not be opened: {detail}")


class UnknownInstrumentError(UnusableInputError):
    """Neither header, nor name, nor content says what the frame is."""

    def __init__(self, name: str, detail: str = "") -> None:
        hint = "name the instrument (--instrument, or the watch folder's kind in the settings)"
        super().__init__(f"{name}: instrument not recognised{': ' + detail if detail else ''}; {hint}")


class NoSuchInstrumentError(UnusableInputError):
    """Somebody named an instrument that there is not: the way of asking is wrong, and no file."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"there is no instrument {name}: known are {', '.join(known)}")


class AmbiguousInstrumentError(UnusableInputError):
    """More than one instrument claims the frame."""

    def __init__(self, name: str, candidates: list[str]) -> None:
        super().__init__(
            f"{name}: could be {' or '.join(sorted(candidates))}; "
            "name the instrument (--instrument, or the watch folder's kind in the settings)"
        )
        self.candidates = sorted(candidates)


class OtherInstrumentError(UnusableInputError):
    """A camera's folder holds a frame whose header or name says that it is of something else."""

    def __init__(self, told: str, camera: str, kind: str) -> None:
        super().__init__(
            f"its header or name says {told}, but {camera}, in whose folder it lies, is of kind {kind}: narrow the "
            "camera's patterns, or name the folder under watch, where each frame says what it is"
        )


class MissingKeywordError(UnusableInputError):
    """A header lacks a keyword that the frame cannot be understood without."""

    def __init__(self, keyword: str, why: str) -> None:
        super().__init__(f"header keyword {keyword} is missing or unusable: {why}")
        self.keyword = keyword


class SettingsError(HeliowatchError):
    """The settings cannot work; nothing starts until they are corrected."""


class SchemaOutdatedError(SettingsError):
    """The database has another schema than this software."""

    def __init__(self, found: str | None, wanted: str) -> None:
        super().__init__(
            f"the database has {f'schema {found}' if found else 'no schema yet'}, this software needs {wanted}: "
            "run `heliowatch db upgrade`"
        )


class ModelError(HeliowatchError):
    """A model file is missing, altered or duplicated."""


class ProviderUnavailableError(SettingsError):
    """A device was asked for and the runtime did not give it."""

    def __init__(self, wanted: str, given: list[str]) -> None:
        super().__init__(
            f"{wanted} was asked for but ONNX Runtime gave {', '.join(given) or 'nothing'}: "
            "install the [gpu] extra alone (never beside [cpu]), check the driver with "
            "nvidia-smi, or set runtime.device to cpu"
        )
        self.wanted = wanted
        self.given = given


class DefectError(HeliowatchError):
    """Something that ought not to happen: a defect of ours."""
