"""Product files: written whole or not at all, named by their own bytes."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from observatory.errors import StorageUnavailableError

_OURS = re.compile(r"[0-9a-f]{64}\.\w+|\..+\.part")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOENT}


@dataclass(frozen=True)
class StoredFile:
    """A product file that is safely on disk."""

    sha256: str
    path: str
    bytes: int


class ProductFiles:
    """Folder of product files; the same bytes are one file, so writing twice is harmless."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, data: bytes, suffix: str) -> StoredFile:
        """Write by temporary name, fsync and rename.

        Raises
        ------
        StorageUnavailableError
            When the disk is full or may not be written to: transient, the work is retried.
        """
        digest = hashlib.sha256(data).hexdigest()
        relative = f"{digest[:2]}/{digest[2:4]}/{digest}{suffix}"
        target = self.root / relative
        if not _renewed(target):
            try:
                self._write_whole(target, data)
            except OSError as error:
                if error.errno in _FULL:
                    raise StorageUnavailableError(
                        f"the product folder {self.root}", error.strerror or ""
                    ) from error
                raise
        return StoredFile(digest, relative, len(data))

    def _write_whole(self, target: Path, data: bytes) -> None:
        temporary = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}.part")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC  # what a dead process of our number left is overwritten
        try:
            handle = os.open(temporary, flags, 0o644)
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(temporary, flags, 0o644)
        try:
            os.fchmod(handle, 0o644)  # whatever the umask: the service may run as somebody else
            with os.fdopen(handle, "wb", buffering=0) as file:
                rest = memoryview(data)
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            temporary.rename(target)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the name, too, must survive a power cut before the row says it is there
        finally:
            os.close(folder)

    def walk(self) -> Iterator[str]:
        """Every file written here, and what a dead process left of one; files of others are passed over."""
        for folder, folders, names in os.walk(self.root):
            folders.sort()
            below = Path(folder).relative_to(self.root)
            yield from (str(below / name) for name in sorted(names) if _OURS.fullmatch(name))

    def retire(self, relative: str, before: float, *, for_show: bool = False) -> int | None:
        """Remove a file that nobody wrote, or wrote again, since a moment.

        Parameters
        ----------
        before : float
            Seconds since 1970.
        for_show : bool
            Leave it, and only say what would be done.

        Returns
        -------
        int or None
            Bytes freed; None where it stays, or is gone already.
        """
        target = self.root / relative
        aside = target.with_name(f".{target.name}.going.part")
        try:
            status = target.stat()
            if status.st_mtime >= before or for_show:
                return None if status.st_mtime >= before else status.st_size
            target.rename(aside)  # who writes the same bytes now finds nothing, and writes them anew
            if aside.stat().st_mtime >= before:  # somebody did in between
                aside.rename(target)
                return None
            aside.unlink()
        except FileNotFoundError:
            return None
        return status.st_size

    def remove(self, relative: str) -> None:
        """Remove a product that nothing names any more; one that is not there is no error."""
        with contextlib.suppress(OSError):
            (self.root / relative).unlink(missing_ok=True)

    def find(self, relative: str) -> Path | None:
        """Path of a product that is there; None when it was removed."""
        path = self.root / relative
        return path if path.is_file() else None


def _renewed(target: Path) -> bool:
    """Whether a file is there; its time then tells that it is wanted still (see `ProductFiles.retire`)."""
    try:
        os.utime(target)
    except FileNotFoundError:
        return False
    except OSError:  # another user's, or a folder that cannot be written to
        return target.exists()
    return True
