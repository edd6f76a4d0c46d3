"""The reference of the REST interface, rendered from its own description."""

from __future__ import annotations

import html
import re
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from markupsafe import Markup

from service.views.assets import templates

router = APIRouter(include_in_schema=False)

_CODE = re.compile(r"`([^`]+)`")


@router.get("/docs")
def docs(request: Request) -> Response:
    """Every resource with its parameters and an example."""
    description = request.app.openapi()
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            entry = _entry(path, method, operation, description)
            groups.setdefault(operation.get("tags", ["other"])[0], []).append(entry)
    base = str(request.scope.get("root_path", ""))
    return templates.TemplateResponse(
        request,
        "docs.html",
        {"base": base, "about": _with_code(description["info"]["description"]), "groups": groups},
    )


def _entry(path: str, method: str, operation: dict[str, Any], description: dict[str, Any]) -> dict[str, Any]:
    return {
        "path": path,
        "method": method.upper(),
        "anchor": operation["operationId"],
        "paragraphs": [_with_code(part) for part in operation.get("description", "").split("\n\n") if part],
        "parameters": [
            {
                "name": parameter["name"],
                "place": parameter["in"],
                "is_required": parameter.get("required", False),
                "description": _with_code(parameter.get("description", "")),
            }
            for parameter in operation.get("parameters", ())
        ]
        + _members(operation, description),
        "fields": _fields(operation, description),
    }


def _members(operation: dict[str, Any], description: dict[str, Any]) -> list[dict[str, Any]]:
    """Members of the JSON body that an operation takes, as parameters."""
    content = operation.get("requestBody", {}).get("content", {})
    name = content.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
    schema = description.get("components", {}).get("schemas", {}).get(name, {})
    return [
        {
            "name": member,
            "place": "body",
            "is_required": member in schema.get("required", ()),
            "description": _with_code(told.get("description", "")),
        }
        for member, told in schema.get("properties", {}).items()
    ]


def _fields(operation: dict[str, Any], description: dict[str, Any]) -> list[str]:
    """Names of the members of the JSON answer, those of list items when it is a list."""
    content = operation["responses"].get("200", {}).get("content", {})
    name = content.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
    schemas = description.get("components", {}).get("schemas", {})
    members = schemas.get(name, {}).get("properties", {})
    item = members.get("items", {}).get("items", {}).get("$ref", "").rpartition("/")[2]
    return list(schemas[item]["properties"] if item in schemas else members)


def _with_code(text: str) -> Markup:
    return Markup(_CODE.sub(r"<code>\1</code>", html.escape(" ".join(text.split()))))
