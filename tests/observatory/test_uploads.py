"""Uploaded files: names that are plain or refused, and a spool that keeps no halves."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from observatory import uploads
from observatory.settings import Settings
from observatory.uploads import Spool, UploadNameError, clean_name

TEMPORARY = [".*", "*.tmp", "*.part"]


@given(st.text(max_size=300))
def test_any_name_is_refused_or_plain(name: str) -> None:
    try:
        clean = clean_name(name, TEMPORARY)
    except UploadNameError:
        return
    assert clean and "/" not in clean and "\\" not in clean and "\0" not in clean
    assert len(clean.encode()) <= 200 and not clean.startswith(".")
    assert clean_name(clean, TEMPORARY) == clean


def test_what_a_dead_process_left_is_swept_and_what_lives_is_not(settings: Settings) -> None:
    spool = Spool(settings)
    alive = spool.open()
    alive.write(b"half")
    left = settings.spool_dir / "dead.part"
    left.write_bytes(b"half")
    assert spool.sweep() == 1
    assert not left.exists()
    placed = alive.place("a.fits", "kso-halpha")
    alive.discard()
    assert placed.sha256 == hashlib.sha256(b"half").hexdigest()
    (path,) = [path for path in settings.upload_dir.rglob("*") if path.is_file()]
    assert "kso-halpha" in str(path) and uploads.folders(settings)[path.parents[1]] == "kso-halpha"
