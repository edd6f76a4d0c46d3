"""Make the passwords of a compose deployment, once.

Each reader gets a folder of its own, so that nobody mounts what it need not know. A file that
exists is left as it is. The database and the queue take their passwords when they first start: to
change one later, see docs/operation.md, "Secrets".
"""

import secrets
import sys
from pathlib import Path

_BYTES = 32


def make_secrets(root: Path) -> list[Path]:
    """Write what is missing below `root` and return the new files."""
    postgres = _keep(root / "postgres" / "password", secrets.token_urlsafe(_BYTES))
    redis = _keep(root / "redis" / "auth.conf", f"requirepass {secrets.token_urlsafe(_BYTES)}\n")
    grafana = _keep(root / "grafana" / "admin_password", secrets.token_urlsafe(_BYTES))
    postgres_password = (root / "postgres" / "password").read_text().strip()
    redis_password = (root / "redis" / "auth.conf").read_text().split()[1]
    database_url = _keep(
        root / "heliowatch" / "heliowatch_database_url",
        f"postgresql://heliowatch:{postgres_password}@postgres:5432/heliowatch",
    )
    broker_url = _keep(
        root / "heliowatch" / "heliowatch_broker_url", f"redis://:{redis_password}@redis:6379/0"
    )
    return postgres + redis + grafana + database_url + broker_url


def _keep(path: Path, content: str) -> list[Path]:
    """Write `content` unless the file is there: whole or not at all, and readable by other users.

    The readers run under their own user ids; who may read is decided by who mounts the folder.
    """
    if path.exists():
        return []
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(content)
    temporary.chmod(0o444)
    temporary.replace(path)
    return [path]


if __name__ == "__main__":
    for made in make_secrets(Path(sys.argv[1])):
        print(f"made {made}")  # noqa: T201
