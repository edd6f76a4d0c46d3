"""The YAML file of the settings, read so that nothing in it is lost in silence."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic_settings import YamlConfigSettingsSource

_MERGE = "tag:yaml.org,2002:merge"


class SettingsFile(YamlConfigSettingsSource):
    """A file of names and values; a name that stands there twice is refused, where YAML takes the last."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        """Read the file.

        Raises
        ------
        ValueError
            When it is no UTF-8 text, or no names and values.
        yaml.YAMLError
            When it is no YAML, or has a name twice in one place.
        """
        path = cast(Path, file_path)
        try:
            with path.open(encoding="utf-8-sig") as file:
                found = yaml.load(file, Loader=_Loader)
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is no UTF-8 text: save it as such") from error
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise ValueError(f"{path} holds no names and values, such as `data_dir: /data`")
        return found


class _Loader(yaml.SafeLoader):
    """The safe loader, for which a name may stand once alone."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001 - PyYAML's
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag != _MERGE and isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"{key.value} is there twice", problem_mark=key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001 - PyYAML's
        try:
            return super().construct_object(node, deep)
        except ValueError as error:  # a day of no calendar, such as 2026-02-30
            raise yaml.MarkedYAMLError(
                problem=f"{node.value}: {error}", problem_mark=node.start_mark
            ) from error
