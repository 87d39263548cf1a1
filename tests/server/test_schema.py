"""Whatever the OpenAPI document allows, and much that it does not: no 5xx, nothing off schema."""

import inspect
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from pydantic import BaseModel
from schemathesis import Case
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.schemas import APIOperation

from seehear.server import schemas
from waiting import LIMIT_S

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]

EXAMPLES = {"/api/v1/search/upload": 5, "/api/v1/export": 25}


@pytest.mark.slow
def test_no_answer_leaves_the_schema(url: str) -> None:
    schema = schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json", wait_for_schema=10)
    tried = 0
    for found in schema.get_all_operations():
        assault(found.ok(), url)
        tried += 1
    assert tried >= 13


def test_the_document_shows_examples_and_the_lock(url: str) -> None:
    document = httpx.get(f"{url}/api/v1/openapi.json").json()
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, methods in document["paths"].items():
        for operation in methods.values() if path.startswith("/api") else ():
            assert operation["security"] == [{"token": []}]
            assert {"401", "403", "421"} <= set(operation["responses"])
    for shape, cls in inspect.getmembers(schemas, inspect.isclass):
        if not issubclass(cls, BaseModel) or shape not in document["components"]["schemas"]:
            continue
        example = {
            name: field.examples[0] for name, field in cls.model_fields.items() if field.examples
        }
        for whole in (cls.model_config.get("json_schema_extra") or {}).get("examples", []):
            cls.model_validate(whole)
            example |= whole
        assert example, f"{shape} has no example"
        for name, value in example.items():
            cls.__pydantic_validator__.validate_assignment(cls.model_construct(), name, value)


def assault(operation: APIOperation, url: str) -> None:
    @seed(0)
    @settings(
        max_examples=EXAMPLES.get(operation.path, 15),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def attack(case: Case) -> None:
        if isinstance(case.body, dict) and isinstance(case.body.get("paths"), list):
            case.body["paths"] = [nowhere(path) for path in case.body["paths"]]
        answer = case.call(base_url=url, timeout=LIMIT_S)
        case.validate_response(answer, checks=CHECKS)

    attack()


def nowhere(path: object) -> object:
    """The same path, unless this machine has it: an ingest of all of "/" is no test."""
    try:
        is_there = isinstance(path, str) and Path(path).exists()
    except ValueError:  # a zero byte
        return path
    return f"{path}/nowhere" if is_there else path
