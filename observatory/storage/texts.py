"""Paths and names as both databases can keep them."""

from __future__ import annotations

import base64
from pathlib import Path


def path_text(path: Path) -> str:
    """Path as the database can keep it: names that are no UTF-8 are kept as their bytes."""
    word = str(path)
    try:
        word.encode("utf-8")
    except UnicodeEncodeError:
        return "bytes:" + base64.urlsafe_b64encode(word.encode("utf-8", "surrogateescape")).decode()
    return word


def text_path(word: str) -> Path:
    """Undo `path_text`."""
    if word.startswith("bytes:"):
        return Path(base64.urlsafe_b64decode(word[6:]).decode("utf-8", "surrogateescape"))
    return Path(word)


def plain_text(text: str) -> str:
    """Text as both databases keep it: a name's odd bytes escaped, and NUL, which Postgres refuses."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
