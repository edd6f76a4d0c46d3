"""Networks that are used in place of the shipped ones: of `models import`, or of a training of one's own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from models.registry import ModelDescription, read_manifest
from observatory.analysis import Quantity
from observatory.errors import ModelError

_NEEDED = ("quantity", "noise", "halo_px", "psf")


def stand_ins(folders: Iterable[Path]) -> dict[Quantity, ModelDescription]:
    """Networks in folders, by what they enhance, each as its manifest says it is.

    Raises
    ------
    ModelError
        When a folder holds no network that enhances, an altered one, or two enhance the same quantity.
    """
    found: dict[Quantity, ModelDescription] = {}
    for folder in folders:
        model = read_manifest(folder / "manifest.toml")
        lacking = [name for name in _NEEDED if name not in model.parameters]
        if lacking or model.parameters["quantity"] not in {*Quantity}:
            raise ModelError(
                f"{folder} (enhancement.networks) holds {model.name}, whose manifest does not tell "
                f"{', '.join(lacking) or 'a known quantity'}: give what `heliowatch models import hmi_enhancement` "
                "or a training of this family wrote"
            )
        model.verify()
        quantity = Quantity(model.parameters["quantity"])
        if quantity in found:
            raise ModelError(
                f"enhancement.networks has two for {quantity}, in {found[quantity].path.parent} and {folder}: keep one"
            )
        found[quantity] = model
    return found
