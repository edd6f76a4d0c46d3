"""docker-compose.yml: valid, closed, and everything that must not be lost is kept."""

import re
import shutil
import subprocess

import jsonschema
import pytest

from tests.deploy.layout import DEPLOY, ROOT, compose, read_json, read_yaml

SERVICES = compose()["services"]
JOBS = {"secrets", "migrate"}
OURS = ["secrets", "migrate", "api", "ingester", "worker-cpu", "worker-gpu"]
EVERY = pytest.mark.parametrize("name", SERVICES)


def test_it_follows_the_compose_specification() -> None:
    jsonschema.validate(compose(), read_json(ROOT / "tests/deploy/schemas/compose-spec.json"))


def test_compose_itself_takes_it() -> None:
    asked = ["docker", "compose"]
    if (
        not shutil.which("docker")
        or subprocess.run([*asked, "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("docker compose is not installed")
    asked += ["--project-directory", str(ROOT), "--profile", "gpu", "config", "--quiet"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_all_parts_are_there() -> None:
    assert set(SERVICES) == {*OURS, "postgres", "redis", "prometheus", "alertmanager", "grafana"}


@EVERY
def test_nothing_runs_as_root(name: str) -> None:
    assert re.fullmatch(r"[1-9]\d*:\d+", SERVICES[name]["user"])


@EVERY
def test_every_container_is_hardened(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "cap_add" not in service


@EVERY
def test_every_service_has_a_health_check_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    if name in JOBS:
        assert service["healthcheck"] == {"disable": True}
        assert service["restart"] in ("no", "on-failure:5")
    else:
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
        assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", [name for name in OURS if name != "secrets"])
def test_every_part_that_reads_the_settings_has_the_files_that_they_name(name: str) -> None:
    there = {volume.split(":")[1] for volume in SERVICES[name]["volumes"]}
    named = read_yaml(DEPLOY / "heliowatch.yaml")["alerts"]["rules"]
    assert {"/etc/heliowatch/heliowatch.yaml", named} <= there


@EVERY
def test_logs_cannot_fill_the_disk(name: str) -> None:
    assert set(SERVICES[name]["logging"]["options"]) == {"max-size", "max-file"}


def test_only_the_api_and_grafana_are_published_and_on_the_loopback_address() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"api": ["127.0.0.1:8000:8000"], "grafana": ["127.0.0.1:3000:3000"]}
    assert not [name for name, service in SERVICES.items() if service.get("network_mode") == "host"]


def test_database_and_queue_hang_on_a_network_without_a_way_out() -> None:
    assert compose()["networks"]["backend"] == {"internal": True}
    for name in ("postgres", "redis", "ingester", "worker-cpu", "worker-gpu"):
        assert SERVICES[name]["networks"] == ["backend"]


def test_no_password_stands_in_the_file() -> None:
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|TOKEN|URL", key):
                assert str(value).startswith("/secrets/"), f"{name}: {key}"
    assert not re.search(r"://[^\s/:]*:[^\s@/]+@", (ROOT / "docker-compose.yml").read_text())


def test_each_password_is_mounted_by_its_readers_alone() -> None:
    readers: dict[str, set[str]] = {}
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source, _, rest = volume.partition(":")
            if source.startswith("secrets-"):
                readers.setdefault(source, set()).add(name)
                assert name == "secrets" or rest.endswith(":ro")
    assert readers == {
        "secrets-heliowatch": set(OURS),
        "secrets-postgres": {"secrets", "postgres"},
        "secrets-redis": {"secrets", "redis"},
        "secrets-grafana": {"secrets", "grafana"},
    }


@pytest.mark.parametrize("name", ["api", "ingester", "worker-cpu", "worker-gpu"])
def test_our_parts_start_after_the_migration_and_a_healthy_queue(name: str) -> None:
    assert SERVICES[name]["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"},
        "redis": {"condition": "service_healthy"},
    }


def test_the_migration_waits_for_a_healthy_database() -> None:
    assert SERVICES["migrate"]["depends_on"]["postgres"] == {"condition": "service_healthy"}
    assert SERVICES["migrate"]["command"] == ["db", "upgrade"]


@pytest.mark.parametrize("name", OURS)
def test_our_image_is_built_here_and_never_fetched(name: str) -> None:
    service = SERVICES[name]
    assert service["image"] in ("heliowatch:cpu", "heliowatch:gpu")
    assert service["pull_policy"] == "never"
    assert service["init"] is True


def test_every_image_that_is_used_is_built_by_one_service() -> None:
    built = {
        service["image"]: service["build"]["args"]["EXTRA"]
        for service in SERVICES.values()
        if "build" in service
    }
    assert built == {"heliowatch:cpu": "cpu", "heliowatch:gpu": "gpu"}
    assert (
        "build" in SERVICES["secrets"]
    )  # everything depends on it: no part can start before the image is there


@EVERY
def test_foreign_images_are_pinned(name: str) -> None:
    tag = SERVICES[name]["image"].partition(":")[2]
    assert tag
    assert tag != "latest"


def test_gpu_workers_are_asked_for_and_get_a_device() -> None:
    worker = SERVICES["worker-gpu"]
    assert worker["profiles"] == ["gpu"]
    assert worker["environment"]["HELIOWATCH_RUNTIME__DEVICE"] == "cuda"
    assert worker["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]


@pytest.mark.parametrize("name", ["worker-cpu", "worker-gpu"])
def test_workers_are_given_time_to_end(name: str) -> None:
    assert SERVICES[name]["stop_grace_period"] == "120s"


@pytest.mark.parametrize("name", ["ingester", "worker-cpu", "worker-gpu", "api"])
def test_frames_are_seen_by_all_and_changed_by_none(name: str) -> None:
    assert "./frames:/frames:ro" in SERVICES[name]["volumes"]
    assert "data:/var/lib/heliowatch" in SERVICES[name]["volumes"]


@EVERY
def test_every_mounted_file_of_the_repository_exists(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("./") and source != "./frames":
            assert (ROOT / source).exists(), source


def test_every_volume_is_declared_and_used() -> None:
    used = {
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if not volume.startswith("./")
    }
    assert used == set(compose()["volumes"])


def test_redis_keeps_its_queue_and_forgets_nothing() -> None:
    lines = (DEPLOY / "redis/redis.conf").read_text().splitlines()
    assert {
        "appendonly yes",
        "appendfsync everysec",
        "maxmemory-policy noeviction",
        "include /secrets/redis/auth.conf",
    } <= set(lines)


def test_workers_are_scraped_where_they_answer() -> None:
    jobs = {
        job["job_name"]: job["dns_sd_configs"][0]
        for job in read_yaml(DEPLOY / "prometheus/prometheus.yml")["scrape_configs"]
        if "dns_sd_configs" in job
    }
    for name in ("ingester", "worker-cpu", "worker-gpu"):
        port = SERVICES[name]["environment"]["HELIOWATCH_WORKER__METRICS_PORT"]
        assert jobs[f"heliowatch-{name}"]["names"] == [name]
        assert str(jobs[f"heliowatch-{name}"]["port"]) == port
    assert jobs["heliowatch-api"]["port"] == 8000
