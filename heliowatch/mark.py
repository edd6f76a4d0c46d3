"""`heliowatch mark`: a human's word on a frame, kept beside the machine's."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from heliowatch.keys import person
from observatory.settings import Settings
from observatory.storage import audit, marks
from observatory.storage.audit import Entry
from observatory.storage.marks import Mark
from observatory.storage.session import Database


def run_mark(settings: Settings, mark: Mark, word: str, note: str | None) -> None:
    """Mark the frame of a number, SHA-256 or file name."""
    db = Database(settings.resolved_database_url)
    db.check_schema()
    frame_id = marks.find_frame(db, word)
    given = marks.put(db, frame_id, mark, note, person(), datetime.now(UTC))
    audit.record(
        db,
        [
            Entry(
                at=given.created_at,
                actor=given.author,
                action="mark",
                status=200,
                target=f"frames/{frame_id}",
                detail={"mark": mark.value},
            )
        ],
    )
    typer.echo(f"frame {frame_id}: {'its mark is taken back' if mark is Mark.CLEAR else mark.value}")
