"""What routes answer, as the published description tells it: shapes, examples, and what may go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from service.formats import MEDIA_TYPES
from service.tables import TRUNCATED

Answers = dict[int | str, dict[str, Any]]

_PROBLEM_SCHEMA = {"$ref": "#/components/schemas/Problem"}
_WORDS = {
    304: "the client has it already (`If-None-Match`)",
    307: "where the newest one is now; not to be cached",
    400: "the `Range` header is no range of bytes",
    404: "there is no such thing",
    406: "the `Accept` header allows none of the formats that there are",
    410: "the file was removed; reprocess its frame to make it again",
    416: "the range begins behind the end of the file",
}
_KINDS = {400: "malformed-range", 404: "not-found", 406: "not-acceptable", 410: "gone"} | {
    416: "range-not-satisfiable"
}
_TITLES = {400: "Bad Request", 404: "Not Found", 406: "Not Acceptable", 410: "Gone"} | {
    416: "Range Not Satisfiable"
}


def problems(**words: str) -> Answers:
    """Errors of a route: ``_404="there is no such frame"`` and so on, each with an example."""
    return {int(name[1:]): _problem(int(name[1:]), detail) for name, detail in words.items()}


def _problem(status: int, detail: str) -> dict[str, Any]:
    example = {
        "type": f"urn:heliowatch:problem:{_KINDS[status]}",
        "title": _TITLES[status],
        "status": status,
        "detail": detail,
    }
    content = {"application/problem+json": {"schema": _PROBLEM_SCHEMA, "example": example}}
    return {"description": _WORDS[status], "content": content}


def refusals(**words: str) -> Answers:
    """Errors of a route in words alone, as `problems`."""
    content = {"application/problem+json": {"schema": _PROBLEM_SCHEMA}}
    return {int(name[1:]): {"description": detail, "content": content} for name, detail in words.items()}


def one_answer(model: type[BaseModel], example: Any, absent: str = "") -> Answers:
    """Answers of a route that gives one thing as JSON.

    Parameters
    ----------
    absent : str
        What is said when it is not there, such as ``there is no frame 7``; empty when it always is.
    """
    found: Answers = {200: {"model": model, "content": {"application/json": {"example": _whole(example)}}}}
    return found | (problems(_404=absent) if absent else {})


def list_answers(
    model: type[BaseModel], example: Any, media_types: Mapping[str, str] = MEDIA_TYPES
) -> Answers:
    """Answers of a list that can be had in several formats."""
    content: dict[str, Any] = {media_type: {} for media_type in media_types.values()}
    content["application/json"] = {"example": _whole(example)}
    cut = {"description": "`true`: there is more than this table holds", "schema": {"type": "boolean"}}
    return {
        200: {"model": model, "content": content, "headers": {TRUNCATED: cut}},
        304: {"description": _WORDS[304]},
        **problems(_406="the Accept header allows none of application/json, text/csv, …"),
    }


def file_answers(absent: str, *media_types: str) -> Answers:
    """Answers of a stored file."""
    content: dict[str, Any] = {media_type: {} for media_type in media_types}
    return {
        200: {"content": content, "description": "the file; its ETag is the SHA-256 of its bytes"},
        206: {
            "content": content | {"multipart/byteranges": {}},
            "description": "the part that `Range` asked for",
        },
        304: {"description": _WORDS[304]},
        **problems(
            _400="Range: is no range of bytes",
            _404=absent,
            _410="the file was removed; reprocess its frame to make it again",
            _416="the file has 60000 bytes; the range begins after them",
        ),
    }


def redirect_answers(absent: str) -> Answers:
    """Answers of an address that always leads to the newest."""
    return {307: {"description": _WORDS[307]}, **problems(_404=absent)}


_WHOLE: list[Any] = []
_MARK = "heliowatch-example:"


def _whole(example: Any) -> str:
    """Stand-in for an example: the framework would leave out of it what is null."""
    _WHOLE.append(example)
    return f"{_MARK}{len(_WHOLE) - 1}"


def restore_examples(description: dict[str, Any]) -> None:
    """Put the examples into a description that was built with their stand-ins."""
    for operations in description["paths"].values():
        for operation in operations.values():
            for answer in operation["responses"].values():
                for content in answer.get("content", {}).values():
                    mark = content.get("example")
                    if isinstance(mark, str) and mark.startswith(_MARK):
                        content["example"] = _WHOLE[int(mark.removeprefix(_MARK))]
