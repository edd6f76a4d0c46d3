"""The service over a database that a telescope fills."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from observatory.settings import Settings
from observatory.storage.files import ProductFiles
from observatory.storage.session import Database
from service.main import create_app
from tests.service.telescope import Telescope, in_thread


@pytest.fixture
def telescope(db: Database, settings: Settings) -> Telescope:
    return Telescope(db, ProductFiles(settings.product_dir))


@pytest.fixture
def app(settings: Settings, db: Database) -> FastAPI:
    return create_app(settings, db)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as open_client:
        yield open_client


@pytest.fixture
def address(app: FastAPI) -> Iterator[str]:
    """Address of the service, served for real."""
    with in_thread(app) as url:
        yield url
