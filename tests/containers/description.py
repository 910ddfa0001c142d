"""docker-compose.yml and the Dockerfile as tests read them: with defaults, in one form."""

import re
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from app.api.settings import ApiSettings
from app.worker.settings import WorkerSettings
from indexer.settings import IndexerSettings
from models.settings import check_no_unknown
from tests.paths import ROOT

DOCKER = ROOT / "docker"
PROFILES = {
    "cpu": {"api", "worker", "gallery", "qdrant"},
    "gpu": {"api", "worker-gpu", "gallery", "qdrant"},
    "demo": {"api-demo", "worker", "gallery-demo"},
    "cluster": {"api", "worker", "gallery", "qdrant-1", "qdrant-2", "qdrant-3"},
    "batch": {"indexer"},
    "batch-gpu": {"indexer-gpu"},
    "observability": {"prometheus", "grafana"},
}
SETTINGS: dict[str, tuple[str, type[BaseSettings]]] = {
    "api": ("CIR_API__", ApiSettings),
    "worker": ("CIR_WORKER__", WorkerSettings),
    "indexer": ("CIR_INDEXER__", IndexerSettings),
}


def interpolated(value: Any) -> Any:
    """The file as an empty environment leaves it: every variable at its default."""
    if isinstance(value, dict):
        return {key: interpolated(item) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolated(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"(?<!\$)\$\{\w+:-([^}]*)\}", r"\1", value).replace("$$", "$")
    return value


TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
COMPOSE: dict[str, Any] = interpolated(yaml.safe_load(TEXT))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (DOCKER / "Dockerfile").read_text("utf-8")
OURS = {name for name, service in SERVICES.items() if "build" in service}
QDRANTS = {name for name, service in SERVICES.items() if "qdrant/" in service["image"]}


def target(name: str) -> str:
    return str(SERVICES[name]["build"]["target"])


def networks(name: str) -> dict[str, set[str]]:
    """Network → the names under which a service is known there."""
    joined = SERVICES[name].get("networks", ["default"])
    options = joined if isinstance(joined, dict) else dict.fromkeys(joined, {})
    return {net: {name, *(option or {}).get("aliases", [])} for net, option in options.items()}


def mounts(name: str) -> dict[str, tuple[str, bool]]:
    """Path → what is mounted there, and whether it can be written to."""
    found = {}
    for volume in SERVICES[name].get("volumes", []):
        if isinstance(volume, dict):
            found[volume["target"]] = (volume["source"], not volume.get("read_only", False))
        else:
            source, path, *mode = volume.split(":")
            found[path] = (source, mode != ["ro"])
    return found


def environment(name: str) -> dict[str, str]:
    return {key: str(value) for key, value in SERVICES[name].get("environment", {}).items()}


def settings_of(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The settings as the process in the container reads them."""
    prefix, known = SETTINGS[target(name)]
    check_no_unknown(environment(name), prefix, known)
    for key, value in environment(name).items():
        monkeypatch.setenv(key, value)
    return known()


def exposed_port(stage: str) -> int:
    (port,) = re.findall(r"^EXPOSE (\d+)$", stage_of(stage), re.MULTILINE)
    return int(port)


def stage_of(name: str) -> str:
    (stage,) = [
        s for s in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE) if f"AS {name}\n" in s
    ]
    return stage


def reachable(name: str, host: str, by_profile: set[str]) -> set[str]:
    """Services of a profile that a host name leads to from a service."""
    mine = networks(name)
    return {
        other
        for other in by_profile - {name}
        for net, names in networks(other).items()
        if net in mine and host in names
    }
