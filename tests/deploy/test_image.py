"""Dockerfile and .dockerignore, as far as they can be judged without an engine."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.deploy.layout import ROOT

TEXT = (ROOT / "Dockerfile").read_text()
BUILD, FINAL = TEXT.split("\nFROM ")[1:]


def instructions(stage: str) -> list[str]:
    """Instructions of a stage, each on one line, without comments."""
    lines = "\n".join(line for line in stage.splitlines() if not line.lstrip().startswith("#"))
    return [line.strip() for line in lines.replace("\\\n", " ").splitlines() if line.strip()]


def only(stage: str, keyword: str) -> str:
    (found,) = [line for line in instructions(stage) if line.startswith(f"{keyword} ")]
    return found


def test_it_passes_hadolint() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_final_stage_is_not_root() -> None:
    assert only(FINAL, "USER") == "USER 10001:10001"


def test_the_final_stage_installs_ffmpeg_and_nothing_else() -> None:
    runs = [line for line in instructions(FINAL) if line.startswith("RUN")]
    (installs,) = [line for line in runs if re.search(r"\b(pip|apt-get|apt|curl|wget)\b", line)]
    assert re.findall(r"install --yes --no-install-recommends (.+?) +&&", installs) == ["ffmpeg"]
    assert "python -m venv --without-pip /opt/heliowatch" in BUILD


def test_everything_that_is_installed_is_hashed_and_a_wheel() -> None:
    installs = re.findall(r"pip (?:--python \S+ )?install(.*?)(?=&&|$)", "\n".join(instructions(BUILD)), re.M)
    assert len(installs) == 3
    for install in installs:
        hashed = "--require-hashes" in install and "--only-binary :all:" in install
        own_wheel = "--no-index" in install and "--no-deps" in install
        assert hashed or own_wheel, install


def test_one_image_per_extra() -> None:
    assert "ARG EXTRA=cpu" in BUILD
    assert '"requirements/${EXTRA}.txt"' in BUILD
    for extra in ("cpu", "gpu"):
        assert (ROOT / f"requirements/{extra}.txt").is_file()


def test_it_has_a_health_check_a_stop_signal_and_labels() -> None:
    assert "/healthz" in only(FINAL, "HEALTHCHECK")
    assert only(FINAL, "STOPSIGNAL") == "STOPSIGNAL SIGTERM"
    for label in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in only(FINAL, "LABEL")


def test_it_starts_the_command_line_and_keeps_its_data_in_one_place() -> None:
    assert only(FINAL, "ENTRYPOINT") == 'ENTRYPOINT ["heliowatch"]'
    assert "HELIOWATCH_DATA_DIR=/var/lib/heliowatch" in only(FINAL, "ENV")


def test_the_folders_of_volumes_belong_to_the_user() -> None:
    made = " ".join(line for line in instructions(FINAL) if line.startswith("RUN"))
    for folder in (
        "/var/lib/heliowatch",
        *(f"/secrets/{name}" for name in ("heliowatch", "postgres", "redis", "grafana")),
    ):
        assert re.search(rf"install -d -o 10001 -g 10001 .*{folder}\b", made), folder


def test_every_room_is_copied_and_not_ignored() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*"
    for room in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert f"COPY {room} {room}" in BUILD
        assert f"!{room}" in ignored
    for name in ("pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]):
        assert f"!{name}" in ignored
        assert re.search(rf"^COPY .*\b{re.escape(name)}\b.* \./$", BUILD, re.M)
