"""Products: the pictures and files that the runs over a frame left; see `results`, which writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from observatory.storage.schema import products
from observatory.storage.session import Database


def of_frame(db: Database, frame_id: int) -> list[dict[str, Any]]:
    """Products of a frame, newest of each kind first."""
    with db.read() as connection:
        query = select(*products.c).where(products.c.frame_id == frame_id).order_by(products.c.id.desc())
        return [dict(row) for row in connection.execute(query).mappings()]


def get(db: Database, product_id: int) -> dict[str, Any] | None:
    """One product."""
    with db.read() as connection:
        row = (
            connection.execute(select(*products.c).where(products.c.id == product_id))
            .mappings()
            .one_or_none()
        )
        return None if row is None else dict(row)


def newest(db: Database, frame_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """Newest product of each kind for each of some frames: frame to kind to product id."""
    if not frame_ids:
        return {}
    with db.read() as connection:
        rows = connection.execute(
            select(products.c.frame_id, products.c.kind, products.c.id)
            .where(products.c.frame_id.in_(frame_ids))
            .order_by(products.c.id)
        ).all()
    found: dict[int, dict[str, int]] = {}
    for row in rows:
        found.setdefault(row.frame_id, {})[row.kind] = row.id
    return found
