"""The bytes of products: named by their hash, so cached for ever."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import RedirectResponse, Response

from observatory.storage import products
from service.context import Context, Here
from service.described import file_answers
from service.numbers import RowNumber
from service.problems import NotFoundError, ProblemError
from service.ranges import RangedFile, has_it
from service.shapes import API

router = APIRouter(tags=["products"])

ProductId = Annotated[RowNumber, Path(description="number of a product")]
_FOREVER = "public, max-age=31536000, immutable"
_SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png", "application/fits": ".fits"}
_BYTES = file_answers("there is no product 8123", "image/jpeg", "image/png", "application/fits")


@router.get("/products/{product_id}/data", responses=_BYTES, response_class=Response)
def get_data(request: Request, here: Here, product_id: ProductId) -> Response:
    """A product's bytes. The ETag is their sha256; ranges may be asked for."""
    return _bytes(request, here, _existing(here, product_id))


@router.get(
    "/products/{product_id}/preview",
    responses=_BYTES | {307: {"description": "the preview of the product's frame"}},
    response_class=Response,
)
def get_preview(request: Request, here: Here, product_id: ProductId) -> Response:
    """A picture of a product: itself when it is one, else its frame's preview."""
    row = _existing(here, product_id)
    if row["media_type"].startswith("image/"):
        return _bytes(request, here, row)
    preview = products.newest(here.db, [row["frame_id"]]).get(row["frame_id"], {}).get("preview")
    if preview is None:
        raise NotFoundError(f"preview of product {product_id}")
    base = request.scope.get("root_path", "")
    return RedirectResponse(f"{base}{API}/products/{preview}/data", 307, {"Cache-Control": "no-cache"})


def _existing(here: Context, product_id: int) -> dict[str, Any]:
    row = products.get(here.db, product_id)
    if row is None:
        raise NotFoundError(f"product {product_id}")
    return row


def _bytes(request: Request, here: Context, row: dict[str, Any]) -> Response:
    name = f"frame-{row['frame_id']}-{row['kind']}"
    gone = f"the file of product {row['id']} was removed; reprocess its frame to make it again"
    return bytes_of(request, here, row, name, gone)


def bytes_of(request: Request, here: Context, row: dict[str, Any], name: str, gone: str) -> Response:
    """Answer with a stored file, whole or in part; whole to whoever did not GET it.

    Parameters
    ----------
    row : dict
        With `sha256`, `path` and `media_type`.
    name : str
        What a browser saves it as, without its suffix.
    gone : str
        What to say when the file is no longer there.
    """
    etag = f'"{row["sha256"]}"'
    headers = {"ETag": etag, "Cache-Control": _FOREVER}
    if request.method == "GET" and has_it(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    path = here.files.find(row["path"])
    if path is None:
        raise ProblemError(410, "gone", gone)
    return RangedFile(
        path,
        headers=headers,
        media_type=row["media_type"],
        filename=f"{name}{_SUFFIXES.get(row['media_type'], '')}",
        content_disposition_type="inline" if row["media_type"].startswith("image/") else "attachment",
    )
