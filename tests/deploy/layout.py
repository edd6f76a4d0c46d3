"""Where the deployment's files lie, and how the tests read them."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
OPERATION = ROOT / "docs" / "operation.md"

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def compose() -> dict[str, Any]:
    """Content of the compose file, with its variables at their defaults as compose would put them in."""
    text = (ROOT / "docker-compose.yml").read_text()
    return yaml.safe_load(_VARIABLE.sub(lambda match: match.group(2) or "", text))


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())
