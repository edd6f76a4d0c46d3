"""Prometheus, Alertmanager and Grafana: they parse, they fire when they should, they name what exists."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.layout import DEPLOY, OPERATION, compose, read_json, read_yaml

RULES = sorted((DEPLOY / "prometheus/rules").glob("*.yml"))
RULE_TESTS = sorted((DEPLOY / "prometheus/tests").glob("*.yml"))
DASHBOARD = DEPLOY / "grafana/dashboards/heliowatch.json"

# The names that are promised, and with which labels. Histograms end in _bucket, _sum and _count.
PROMISED = {
    "heliowatch_frames_ingested_total": {"instrument"},
    "heliowatch_frames_processed_total": {"instrument", "outcome"},
    "heliowatch_frames_degraded_total": {"instrument", "cause"},
    "heliowatch_last_frame_timestamp_seconds": {"instrument"},
    "heliowatch_queue_tasks": {"queue"},
    "heliowatch_queue_oldest_task_age_seconds": {"queue"},
    "heliowatch_model_info": {"model", "version", "provider"},
    "heliowatch_database_reachable": set(),
    "heliowatch_notifications_oldest_age_seconds": {"channel"},
    "heliowatch_notifications_total": {"channel", "outcome"},
    "heliowatch_alerts_firing": {"severity"},
    "heliowatch_model_drift_ratio": {"model"},
    "heliowatch_model_golden_ratio": {"model"},
    "heliowatch_model_shadow_agreement_ratio": {"model"},
    "heliowatch_coverage_ratio": {"instrument", "state"},
    "heliowatch_frames": {"instrument", "status"},
    **{
        f"{name}_{part}": labels
        for name, labels in {
            "heliowatch_frame_quality_score": {"instrument"},
            "heliowatch_frame_latency_seconds": {"instrument"},
            "heliowatch_stage_duration_seconds": {"instrument", "stage"},
            "heliowatch_inference_duration_seconds": {"model", "provider"},
        }.items()
        for part in ("bucket", "sum", "count")
    },
}
FOREIGN = {"up", "ALERTS", "alertmanager_notifications_failed_total"}


def rules(kind: str) -> list[dict[str, Any]]:
    return [
        rule
        for path in RULES
        for group in read_yaml(path)["groups"]
        for rule in group["rules"]
        if kind in rule
    ]


RECORDED = {rule["record"] for rule in rules("record")}
ALERTS = {rule["alert"]: rule for rule in rules("alert")}


def names_in(expression: str) -> set[str]:
    """Series that an expression asks for."""
    without_strings = re.sub(r'"[^"]*"', '""', expression)
    found = set(
        re.findall(
            r"\b(?:\w+:)*heliowatch_\w+(?::\w+)*|\bup\b|\bALERTS\b|\balertmanager_\w+", without_strings
        )
    )
    found |= set(re.findall(r"\b\w+:heliowatch_\w+:\w+", without_strings))
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in read_json(DASHBOARD)["panels"] if panel["type"] != "row"]


def queries() -> list[str]:
    dashboard = read_json(DASHBOARD)
    return [
        *(target["expr"] for panel in panels() for target in panel["targets"]),
        *(item["expr"] for item in dashboard["annotations"]["list"]),
        *(item["definition"] for item in dashboard["templating"]["list"]),
    ]


def run(tool: str, *arguments: str | Path) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed (Debian: apt-get install prometheus prometheus-alertmanager)")
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_its_configuration_and_rules() -> None:
    run("promtool", "check", "config", DEPLOY / "prometheus/prometheus.yml")


@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.stem)
def test_the_rules_do_what_their_tests_say(path: Path) -> None:
    run("promtool", "test", "rules", path)


def test_alertmanager_takes_its_configuration() -> None:
    run("amtool", "check-config", DEPLOY / "alertmanager/alertmanager.yml")


@pytest.mark.parametrize("query", sorted(set(queries())))
def test_prometheus_understands_every_query_of_the_dashboard(query: str, tmp_path: Path) -> None:
    if query.startswith("label_values("):
        return  # Grafana's own function
    concrete = query.replace("$__rate_interval", "1m").replace("$instrument", ".*")
    rule = tmp_path / "query.yml"
    rule.write_text(f"groups: [{{name: q, rules: [{{record: 'a:b:c', expr: {concrete!r}}}]}}]")
    run("promtool", "check", "rules", rule)


@pytest.mark.parametrize("expression", [rule["expr"] for rule in (*rules("record"), *rules("alert"))])
def test_rules_ask_only_for_what_exists(expression: str) -> None:
    assert names_in(expression)
    assert names_in(expression) <= set(PROMISED) | RECORDED | FOREIGN


@pytest.mark.parametrize("query", sorted(set(queries())))
def test_the_dashboard_asks_only_for_what_exists(query: str) -> None:
    assert names_in(query)
    assert names_in(query) <= set(PROMISED) | RECORDED | FOREIGN


def test_what_the_workers_count_is_what_is_promised() -> None:
    metrics = pytest.importorskip("workers.metrics")
    from prometheus_client.metrics import MetricWrapperBase

    counted = set()
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            name = f"{name}_bucket" if family.type == "histogram" else name
            if name in PROMISED:
                counted.add(name)
                assert set(metric._labelnames) == PROMISED[name], name
    assert counted


def test_every_recorded_series_is_used() -> None:
    asked = set().union(*map(names_in, [*queries(), *(rule["expr"] for rule in rules("alert"))]))
    assert RECORDED - asked == set()


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_says_how_bad_it_is_and_what_to_do(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}


def anchors(text: str) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_has_its_section_in_the_runbook(name: str) -> None:
    path, _, anchor = ALERTS[name]["annotations"]["runbook_url"].partition("#")
    assert path == "docs/operation.md"
    assert anchor == name.lower()
    assert anchor in anchors(OPERATION.read_text())


def test_the_runbook_describes_no_alert_that_is_gone() -> None:
    described = set(re.findall(r"^#+ (Heliowatch[A-Z]\w+)$", OPERATION.read_text(), re.M))
    assert described == set(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_is_tested(name: str) -> None:
    assert any(name in path.read_text() for path in RULE_TESTS)


def test_inhibitions_name_alerts_that_exist() -> None:
    config = read_yaml(DEPLOY / "alertmanager/alertmanager.yml")
    for rule in config["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            pattern = matcher.split('"')[1]
            for part in pattern.split("|") if "(" not in pattern else [pattern]:
                assert any(re.fullmatch(part, name) for name in ALERTS), part


def test_every_receiver_of_a_route_exists() -> None:
    config = read_yaml(DEPLOY / "alertmanager/alertmanager.yml")
    known = {receiver["name"] for receiver in config["receivers"]}
    assert {config["route"]["receiver"], *(route["receiver"] for route in config["route"]["routes"])} <= known


def test_prometheus_scrapes_services_that_exist() -> None:
    services = compose()["services"]
    config = read_yaml(DEPLOY / "prometheus/prometheus.yml")
    for job in config["scrape_configs"]:
        for source in job.get("dns_sd_configs", []):
            assert set(source["names"]) <= set(services)
        for source in job.get("static_configs", []):
            for target in source["targets"]:
                assert target.split(":")[0] in {*services, "localhost"}


def test_the_dashboard_uses_the_provisioned_source_and_does_not_overlap() -> None:
    sources = {
        source["uid"]
        for source in read_yaml(DEPLOY / "grafana/provisioning/datasources/heliowatch.yml")["datasources"]
    }
    taken: set[tuple[int, int]] = set()
    for panel in read_json(DASHBOARD)["panels"]:
        if "datasource" in panel:
            assert panel["datasource"]["uid"] in sources
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_panels_are_numbered_once() -> None:
    numbers = [panel["id"] for panel in read_json(DASHBOARD)["panels"]]
    assert len(numbers) == len(set(numbers))
