"""Prometheus and Grafana ask for what there is, where it is."""

import json
import re
from typing import Any

import yaml
from prometheus_client import REGISTRY

import app.web.logging
import app.worker.metrics  # noqa: F401
from tests.containers.description import DOCKER, PROFILES, exposed_port, reachable, target


def test_prometheus_asks_who_has_metrics() -> None:
    jobs = yaml.safe_load((DOCKER / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    asked = {(names["names"][0], names["port"]) for job in jobs for names in job["dns_sd_configs"]}
    assert asked == {("api", exposed_port("api")), ("worker", exposed_port("worker"))}
    for profile in ("cpu", "gpu", "cluster", "demo"):
        for host, _ in asked:
            found = reachable("prometheus", host, PROFILES[profile])
            assert {target(name) for name in found} == {host}, profile


def test_the_dashboard_shows_what_is_measured() -> None:
    (file,) = (DOCKER / "grafana" / "dashboards").glob("*.json")
    dashboard = json.loads(file.read_text("utf-8"))
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    shown = {
        name
        for panel in panels
        for asked in panel["targets"]
        for name in re.findall(r"\bcir_\w+", asked["expr"])
    }
    measured = {sample: metric for metric in REGISTRY.collect() for sample in sample_names(metric)}
    assert len(shown) >= 10
    assert shown <= set(measured), shown - set(measured)
    for panel in panels:
        for asked in panel["targets"]:
            for label in re.findall(r"\{\{(\w+)\}\}", asked["legendFormat"]):
                assert (
                    label == "instance"
                    or f"by ({label})" in asked["expr"]
                    or (f"by (le, {label})" in asked["expr"])
                )
    uid = yaml.safe_load(
        (DOCKER / "grafana/provisioning/datasources/prometheus.yml").read_text("utf-8")
    )["datasources"][0]["uid"]
    assert {panel["datasource"]["uid"] for panel in panels} == {uid}


def sample_names(metric: Any) -> set[str]:
    """What Prometheus can ask for; a metric with labels has no samples before its first use."""
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
    return {metric.name + suffix for suffix in suffixes.get(metric.type, [""])}
