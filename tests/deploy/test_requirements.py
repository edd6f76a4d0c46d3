"""The lock files: complete, hashed, and free of what they must not bring."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.layout import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {
    "cpu": ["cpu", "postgres"],
    "gpu": ["gpu", "postgres"],
    "train": ["cpu", "postgres", "train"],
    "dev": ["cpu", "postgres", "train", "dev"],
}
LOCKS = [*EXTRAS, "build"]


def locked(name: str) -> dict[str, str]:
    """Package to version, of a lock file."""
    text = (ROOT / f"requirements/{name}.txt").read_text()
    return {
        canonicalize_name(package): version for package, version in re.findall(r"^(\S+?)==(\S+)", text, re.M)
    }


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_is_pinned_and_hashed(name: str) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text()
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.M)[1:]
    assert entries
    for entry in entries:
        assert re.match(r"\S+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


@pytest.mark.parametrize("name", EXTRAS)
def test_every_dependency_is_locked_at_a_version_that_is_allowed(name: str) -> None:
    versions = locked(name)
    wanted = PROJECT["dependencies"] + [
        line for extra in EXTRAS[name] for line in PROJECT["optional-dependencies"][extra]
    ]
    for requirement in map(Requirement, wanted):
        if requirement.name == "torch":
            continue
        version = versions.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is missing: run requirements/lock.sh"
        assert requirement.specifier.contains(version), (
            f"{requirement} but {version}: run requirements/lock.sh"
        )


@pytest.mark.parametrize("name", ["cpu", "train", "dev", "build"])
def test_no_cuda_where_none_is_asked_for(name: str) -> None:
    assert not [
        package for package in locked(name) if re.match("nvidia|cuda|triton|torch|onnxruntime-gpu", package)
    ]


def test_the_two_runtimes_never_meet() -> None:
    assert "onnxruntime" not in locked("gpu")
    assert "onnxruntime-gpu" not in locked("cpu")


def test_one_version_of_each_package_everywhere() -> None:
    versions: dict[str, set[str]] = {}
    for name in ("cpu", "gpu", "train", "dev"):
        for package, version in locked(name).items():
            versions.setdefault(package, set()).add(version)
    assert not {package: found for package, found in versions.items() if len(found) > 1}


def test_torch_is_pinned_as_the_project_wants_it() -> None:
    pinned = [
        line
        for line in (ROOT / "requirements/torch.txt").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert pinned == [line for line in PROJECT["optional-dependencies"]["train"] if line.startswith("torch")]


@pytest.mark.parametrize("name", LOCKS)
def test_no_address_and_no_path_is_named(name: str) -> None:
    assert not re.search(
        r"https?://|file:|/tmp/|/home/|/root/|/opt/", (ROOT / f"requirements/{name}.txt").read_text()
    )
