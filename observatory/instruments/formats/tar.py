"""Archives of images (tar): each member is a frame, or several. Nothing is ever unpacked to a disk."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from observatory.errors import TooLargeError, UnreadableFileError, UnusableInputError
from observatory.frame import RowOrder
from observatory.instruments.formats.container import Container, Limits, guarded

OpenMember = Callable[[bytes, Limits], Container]
_MOST_MEMBERS = 100_000
_BLOCK = 512


@dataclass(frozen=True)
class _Image:
    """One image of one member, or why the member cannot be used."""

    member: str
    container: Container | None = None
    index: int = 0
    error: UnusableInputError | None = None

    @property
    def fault(self) -> str | None:
        if self.error is not None:
            return f"{self.member}: {self.error}"
        assert self.container is not None
        return self.container.fault(self.index)


class TarContainer(Container):
    """The images of all members; a member that cannot be used keeps its number, and `fault` says why.

    Links, devices and names that lead out of the archive are refused one by one: they are no pictures, and
    an archive that holds them was not made by a camera.
    """

    def __init__(self, data: bytes, limits: Limits, open_member: OpenMember) -> None:
        self._images: list[_Image] = []
        self.is_final = data.endswith(b"\0" * 1024)
        for image in self._found(data, limits, open_member):
            self._images.append(image)
            if len(self._images) > limits.max_images:
                raise TooLargeError("the number of images", len(self._images), limits.max_images)
        usable = [image.container for image in self._images if image.fault is None]
        if not usable or usable[0] is None:
            error = next((image.error for image in self._images if image.error is not None), None)
            raise error or UnreadableFileError("the tar archive holds no file")
        self.row_order: RowOrder = usable[0].row_order
        self.count = len(self._images)

    def _found(self, data: bytes, limits: Limits, open_member: OpenMember) -> Iterator[_Image]:
        order: RowOrder | None = None
        self._is_broken_off = False
        for member in self._members(data):
            if member.isdir():
                continue
            name = member.name[-200:]
            try:
                container = _opened(member, data, limits, open_member)
                order = order or container.row_order
                if container.row_order is not order:
                    raise UnreadableFileError("pictures and FITS files in one archive: pack them apart")
                yield from (_Image(name, container, index) for index in range(container.count))
            except UnusableInputError as error:
                yield _Image(name, error=error)
        if self._is_broken_off:
            lost = UnreadableFileError("the tar archive is damaged here: the members that follow are lost")
            yield _Image("the rest", error=lost)

    def _members(self, data: bytes) -> Iterator[tarfile.TarInfo]:
        end = 0
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:", errorlevel=0) as archive:
            for _ in range(_MOST_MEMBERS):
                try:
                    member = archive.next()
                except tarfile.TarError:
                    self._is_broken_off = self.is_cut = True
                    return
                if member is None:
                    break
                end = member.offset_data + -(-member.size // _BLOCK) * _BLOCK if member.isreg() else end
                self.is_cut = member.isreg() and member.offset_data + member.size > len(data)
                yield member
            # A damaged head ends an archive, too; a whole one is followed by nothing but zeros.
            self._is_broken_off = bool(data[max(end, archive.offset) :].strip(b"\0"))

    def header(self, index: int = 0) -> Mapping[str, Any]:
        image = self._images[index]
        own = image.container.header(image.index) if image.container is not None else {}
        return {**own, "MEMBER": image.member}

    def shape(self, index: int = 0) -> tuple[int, int]:
        image = self._images[index]
        return image.container.shape(image.index) if image.container is not None else (0, 0)

    def fault(self, index: int = 0) -> str | None:
        return self._images[index].fault

    def member(self, index: int = 0) -> str | None:
        return PurePosixPath(self._images[index].member).name

    def pixels(self, index: int = 0) -> np.ndarray:
        image = self._images[index]
        if image.container is None or image.fault is not None:
            raise UnreadableFileError(image.fault or "")
        return image.container.pixels(image.index)


def _opened(member: tarfile.TarInfo, data: bytes, limits: Limits, open_member: OpenMember) -> Container:
    path = PurePosixPath(member.name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise UnreadableFileError("a member whose name leads out of the archive is not read")
    if not member.isreg() or member.issparse():
        raise UnreadableFileError("a member that is a link, a device or sparse is not read")
    end = member.offset_data + member.size
    if end > len(data):
        raise UnreadableFileError("the tar archive is truncated in it")
    container: Container = guarded(open_member, data[member.offset_data : end], limits)
    return container
