"""Pictures on their way into the store: on disk first, then in the row's transaction."""

from __future__ import annotations

from collections.abc import Iterable

from observatory.storage.files import ProductFiles
from observatory.storage.results import NewProduct
from workers.products.preview import Picture


def written(files: ProductFiles, pictures: Iterable[Picture]) -> list[NewProduct]:
    """Write pictures to disk; return what is to be noted of them."""
    return [
        NewProduct(
            kind=picture.kind,
            media_type=picture.media_type,
            file=files.write(picture.data, picture.suffix),
            width=picture.width,
            height=picture.height,
        )
        for picture in pictures
    ]
