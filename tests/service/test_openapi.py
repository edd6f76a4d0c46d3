"""The published description tells the truth: whatever is asked, the answer is one that it names."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from observatory.analysis import Cause
from observatory.settings import load_settings
from observatory.storage import workers
from observatory.storage.files import ProductFiles
from observatory.storage.session import Database
from service.main import create_app
from service.metrics import utc_now
from tests.servers import PostgresServer
from tests.service.corona import CH, NOON, central, found
from tests.service.photosphere import cut_out, shown
from tests.service.telescope import DAY, Telescope, in_thread

_EXAMPLES = 10  # of each operation, of what it allows and of what it does not
_ENDLESS = {"/api/v1/events"}  # a stream has no end to wait for
_TRUE = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def served(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[FastAPI, str]]:
    """The service on Postgres with a bit of everything in it, served for real."""
    url = postgres.migrated_database()
    settings_ = load_settings(database_url=url, data_dir=tmp_path_factory.mktemp("openapi"))
    settings_.service.rate_limits.read = settings_.service.rate_limits.write = "1000000/second"
    settings_.service.worker_silence_s = 3600
    settings_.cutouts.patience_s = settings_.cutouts.most_patience_s = 0  # nobody makes any
    db = Database(url)
    workers.sign_on(db, "w1", "worker", utc_now(), {"models": []})  # else nothing is ready, which is a 503
    telescope = Telescope(db, ProductFiles(settings_.product_dir))
    telescope.observe(0.93, with_picture=True, with_map=True)
    telescope.observe(0.2, (Cause.CLOUD, 0.9))
    telescope.refuse()
    telescope.corona(found(CH, (central(), central(30, 6))), date_obs=NOON, with_picture=True)
    telescope.compose(DAY + timedelta(hours=9))
    cut_out(telescope, shown(telescope))
    app = create_app(settings_)
    with in_thread(app) as address:
        yield app, address
    db.dispose()


@pytest.mark.parametrize(
    "mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value
)
def test_every_answer_is_one_that_the_description_names(
    served: tuple[FastAPI, str], mode: GenerationMode
) -> None:
    _, address = served
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    wrong: list[str] = []
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path not in _ENDLESS:
            wrong += _wrong_answers(operation, mode, address)
    assert not wrong, "\n\n".join(wrong)


def _wrong_answers(operation: Any, mode: GenerationMode, address: str) -> list[str]:
    if mode is GenerationMode.NEGATIVE and not (list(operation.iter_parameters()) or list(operation.body)):
        return []  # nothing that could be wrong

    @seed(2026)
    @settings(
        max_examples=_EXAMPLES,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        for name in case.path_parameters or {}:
            if mode is GenerationMode.POSITIVE and name.endswith("_id") and case.path_parameters[name] % 2:
                case.path_parameters[name] = 1  # something that is there
        case.call_and_validate(base_url=address, checks=_TRUE)

    try:
        ask()
    except FailureGroup as error:
        return [f"{operation.method.upper()} {operation.path}: {item}" for item in error.exceptions]
    except Exception as error:  # noqa: BLE001 - whatever it is, the other operations are asked, too
        return [f"{operation.method.upper()} {operation.path}: {type(error).__name__}: {error}"]
    return []


def test_every_example_is_of_the_shape_that_stands_beside_it(served: tuple[FastAPI, str]) -> None:
    document = served[0].openapi()
    shown = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                for media_type, content in answer.get("content", {}).items():
                    if "example" in content and content.get("schema"):
                        where = f"{method} {path} {status} {media_type}"
                        _fits(content["example"], content["schema"], document, where)
                        shown += 1
    assert shown > 40


def _fits(example: Any, schema: dict[str, Any], document: dict[str, Any], where: str) -> None:
    whole = {**schema, "components": document["components"]}
    errors = list(jsonschema.Draft202012Validator(whole).iter_errors(example))
    assert not errors, f"{where}: {errors[0].message} at {list(errors[0].absolute_path)}"


def test_every_route_of_the_api_says_in_words_what_it_does(served: tuple[FastAPI, str]) -> None:
    for path, operations in served[0].openapi()["paths"].items():
        for method, operation in operations.items():
            assert operation.get("description"), f"{method} {path}"
            for parameter in operation.get("parameters", []):
                assert parameter.get("description"), f"{method} {path}: {parameter['name']}"


def test_every_error_is_described_as_the_problem_that_it_is(served: tuple[FastAPI, str]) -> None:
    for path, operations in served[0].openapi()["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                if status >= "400":
                    told = answer.get("content", {}).get("application/problem+json", {})
                    assert told.get("schema"), f"{method} {path} {status}"


def test_the_description_names_no_path_of_this_machine(served: tuple[FastAPI, str]) -> None:
    assert str(Path(__file__).parents[2]) not in str(served[0].openapi())
