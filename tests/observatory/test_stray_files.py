"""Product files that no row names go, and none that a row names or that is still being worked on."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, insert

from observatory.errors import UnusableInputError
from observatory.storage import frames
from observatory.storage.files import ProductFiles, StoredFile
from observatory.storage.frames import NewFrame
from observatory.storage.schema import metadata, products
from observatory.storage.session import Database
from observatory.storage.stray_files import NAMING, Cleaned, clean

NOW = datetime.now(UTC)
YESTERDAY = NOW - timedelta(days=1)
LONG_AGO = (NOW - timedelta(days=9)).timestamp()


@pytest.fixture
def files(tmp_path: Path) -> ProductFiles:
    return ProductFiles(tmp_path / "products")


def put(files: ProductFiles, data: bytes, *, is_old: bool = True) -> StoredFile:
    stored = files.write(data, ".jpg")
    if is_old:
        os.utime(files.root / stored.path, (LONG_AGO, LONG_AGO))
    return stored


def name(db: Database, file: StoredFile) -> None:
    """Give a file its row."""
    new = NewFrame(
        sha256=file.sha256,
        file_name="a.fits",
        path="/in/a.fits",
        bytes=1,
        received_at=NOW,
        instrument="halpha",
    )
    (task,) = frames.register(db, [new], [])
    row = {
        "frame_id": task.frame_id,
        "kind": "preview",
        "media_type": "image/jpeg",
        "sha256": file.sha256,
        "path": file.path,
        "bytes": file.bytes,
        "width": 1,
        "height": 1,
        "created_at": NOW,
    }
    with db.write() as connection:
        connection.execute(insert(products), row)


def test_every_column_that_names_a_product_file_is_asked():
    told = {
        (table.name, column.name)
        for table in metadata.tables.values()
        for column in table.columns
        if column.doc == "below the product folder"
    }
    assert {(column.table.name, column.name) for column in NAMING} == told


def test_what_no_row_names_goes_and_the_rest_stays(db: Database, files: ProductFiles):
    named, stray, fresh = put(files, b"named"), put(files, b"stray!"), put(files, b"fresh", is_old=False)
    name(db, named)
    assert clean(db, files, YESTERDAY) == Cleaned(removed=1, kept=2, freed_bytes=6)
    assert files.find(stray.path) is None
    assert files.find(named.path) is not None
    assert files.find(fresh.path) is not None
    assert clean(db, files, YESTERDAY) == Cleaned(removed=0, kept=2, freed_bytes=0)


def test_a_rehearsal_removes_nothing(db: Database, files: ProductFiles):
    stray = put(files, b"stray!")
    name(db, put(files, b"named"))
    assert clean(db, files, YESTERDAY, for_show=True) == Cleaned(removed=1, kept=1, freed_bytes=6)
    assert files.find(stray.path) is not None


def test_a_file_whose_row_is_replaced_goes(db: Database, files: ProductFiles):
    old, new = put(files, b"old"), put(files, b"new")
    name(db, old)
    name(db, new)
    with db.write() as connection:
        connection.execute(delete(products).where(products.c.sha256 == old.sha256))
    assert clean(db, files, YESTERDAY).removed == 1
    assert files.find(old.path) is None


def test_a_stray_file_that_is_written_again_is_new(files: ProductFiles, db: Database):
    name(db, put(files, b"named"))
    stray = put(files, b"wanted again")
    again = put(files, b"wanted again", is_old=False)
    assert again == stray
    assert clean(db, files, YESTERDAY).removed == 0


def test_what_a_dead_process_left_half_written_goes(db: Database, files: ProductFiles):
    named = put(files, b"named")
    name(db, named)
    half = files.root / named.path
    half = half.with_name(f".{half.name}.4711.1.part")
    half.write_bytes(b"na")
    assert clean(db, files, YESTERDAY).removed == 0, "somebody may be writing it"
    os.utime(half, (LONG_AGO, LONG_AGO))
    assert clean(db, files, YESTERDAY).removed == 1
    assert not half.exists()


def test_files_of_others_are_left_alone(db: Database, files: ProductFiles):
    name(db, put(files, b"named"))
    other = files.root / "ab" / "README.txt"
    other.parent.mkdir(exist_ok=True)
    other.write_text("not ours")
    os.utime(other, (LONG_AGO, LONG_AGO))
    assert clean(db, files, YESTERDAY).removed == 0
    assert other.exists()


def test_the_folder_of_another_database_is_refused(db: Database, files: ProductFiles):
    stray = put(files, b"another's")
    with pytest.raises(UnusableInputError, match="no row names any file"):
        clean(db, files, YESTERDAY)
    assert files.find(stray.path) is not None


def test_nothing_at_all_is_nothing_to_do(db: Database, files: ProductFiles):
    assert clean(db, files, YESTERDAY) == Cleaned(0, 0, 0)


def test_a_file_that_is_written_while_it_goes_stays(files: ProductFiles, monkeypatch: pytest.MonkeyPatch):
    stray = put(files, b"stray")
    rename = Path.rename

    def meanwhile(path: Path, target: Path) -> Path:
        if path.name == Path(stray.path).name:
            os.utime(path)  # a worker finds it, just before it is set aside
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", meanwhile)
    assert files.retire(stray.path, time.time() - 60) is None
    assert files.find(stray.path) is not None


def test_a_file_that_is_gone_already_is_no_error(files: ProductFiles):
    assert files.retire("ab/cd/" + "ab" * 32 + ".jpg", time.time()) is None
