"""One round of a real ingester, and the types of the fixtures around it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from observatory.settings import Settings
from observatory.storage.session import Database
from workers.app import make_app
from workers.ingester import Ingester
from workers.publisher import Publisher
from workers.watching import WatchFolder

Rows = Callable[[Database], list[dict[str, Any]]]
Watching = Callable[..., Any]
Eventually = Callable[..., None]


def once(settings: Settings, db: Database, *folders: Path | WatchFolder, **options: Any) -> int:
    named = [item if isinstance(item, WatchFolder) else WatchFolder(item) for item in folders]
    return Ingester(settings, db, Publisher(make_app(settings)), named, **options).once()
