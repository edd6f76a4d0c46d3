"""What every file format must give, and the one border where decoders' errors become ours."""

from __future__ import annotations

import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from observatory.errors import TooLargeError, UnreadableFileError
from observatory.frame import RowOrder


@dataclass(frozen=True)
class Limits:
    """What one file may cost at most.

    Attributes
    ----------
    max_file_bytes : int
        Bytes of the file itself.
    max_unpacked_bytes : int
        Bytes after gzip or bzip2.
    max_pixels : int
        Pixels of one image (height x width).
    max_images : int
        Images in one file; the cameras' films hold some twenty.
    """

    max_file_bytes: int = 1 << 30
    max_unpacked_bytes: int = 1 << 30
    max_pixels: int = 150_000_000
    max_images: int = 2000

    def check_pixels(self, pixels: int) -> None:
        """Raise `TooLargeError` when an image claims more pixels than allowed."""
        if pixels > self.max_pixels:
            raise TooLargeError("the number of pixels", pixels, self.max_pixels)


class Container(ABC):
    """An opened file: its images' headers now, their pixels on demand.

    Attributes
    ----------
    row_order : RowOrder
    count : int
        Number of images.
    is_final : bool
        Whether the format itself says that the file is complete; False for films that
        may still grow by another image.
    is_cut : bool
        Whether the file ends inside an image: one that is still being written does, too.
    """

    row_order: RowOrder
    count: int = 1
    is_final: bool = True
    is_cut: bool = False

    @abstractmethod
    def header(self, index: int = 0) -> Mapping[str, Any]:
        """Header facts of one image, keywords in capitals; empty when there are none."""

    @abstractmethod
    def shape(self, index: int = 0) -> tuple[int, int]:
        """(height, width) of one image, known without decoding it."""

    def fault(self, index: int = 0) -> str | None:
        """Why one image of several cannot be used, as far as that is known without decoding it."""
        return None

    def member(self, index: int = 0) -> str | None:
        """Name under which an image lies in an archive; None where it has none of its own."""
        return None

    @abstractmethod
    def pixels(self, index: int = 0) -> np.ndarray:
        """Decode one image: (height, width) or (height, width, 3).

        Raises
        ------
        UnreadableFileError
            When the bytes cannot be decoded.
        """

    def smaller(self, index: int, factor: int) -> np.ndarray | None:
        """Decode one image at a ``factor``-th of its size, 2 or 4, where the format makes that cheaper.

        Returns
        -------
        ndarray or None
            None where the whole image has to be decoded anyway.

        Raises
        ------
        UnreadableFileError
            When the bytes cannot be decoded.
        """
        return None


def guarded(work: Callable[..., Any], *args: Any) -> Any:
    """Turn whatever a decoder raises into one kind of error: the only border that catches all."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work(*args)
    except (UnreadableFileError, TooLargeError):
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableFileError(f"the picture claims too many pixels: {error}") from error
    except MemoryError as error:
        raise UnreadableFileError("decoding would take more memory than there is") from error
    except UnidentifiedImageError as error:
        raise UnreadableFileError("the picture's head is damaged") from error
    except Exception as error:
        # What decoders say may hold addresses of objects, which tell a reader nothing.
        detail = re.sub(r"<[^>]* at 0x[0-9a-f]+>", "the data", str(error)) or type(error).__name__
        raise UnreadableFileError(f"the data cannot be decoded: {detail[:300]}") from error
