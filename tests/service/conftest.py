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
from service.notify.delivery import Delivery
from tests.service.alarms import Alarms, Clock, webhook, with_channels
from tests.service.receivers import Receiver, web_server
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


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with web_server(Receiver()) as server:
        yield server


@pytest.fixture
def house(settings: Settings, receiver: Receiver) -> Settings:
    return with_channels(settings, {"hook": webhook(receiver.url), "boss": webhook(receiver.url + "/boss")})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def delivery(house: Settings, db: Database, clock: Clock) -> Delivery:
    return Delivery(house, db, clock=clock)


@pytest.fixture
def alarms(house: Settings, db: Database) -> Alarms:
    return Alarms(db, house)
