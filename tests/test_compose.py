"""What docker-compose.yml promises: to itself, to the settings, and to who runs it."""

import re
from pathlib import Path

import pytest

from app.worker.settings import WorkerSettings
from tests.containers.description import (
    COMPOSE,
    DOCKERFILE,
    OURS,
    PROFILES,
    QDRANTS,
    SERVICES,
    SETTINGS,
    TEXT,
    environment,
    exposed_port,
    mounts,
    networks,
    reachable,
    settings_of,
    stage_of,
    target,
)
from tests.paths import ROOT


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_starts_what_it_says_and_nothing_waits_for_what_is_not_there(
    profile: str,
) -> None:
    there = {name for name, service in SERVICES.items() if profile in service["profiles"]}
    assert there == PROFILES[profile]
    for name in there:
        needed = {
            other
            for other, how in SERVICES[name].get("depends_on", {}).items()
            if how.get("required", True)
        }
        assert needed <= there, name


def test_plain_up_starts_the_cpu_profile_and_the_defaults_hold_no_secret() -> None:
    lines = (ROOT / ".env").read_text("utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["COMPOSE_PROFILES=cpu"]


def test_every_variable_stands_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text("utf-8")
    for variable in set(re.findall(r"(?<!\$)\$\{(\w+)", TEXT)):
        assert f"\n# {variable}=" in example, variable


@pytest.mark.parametrize("name", sorted(OURS))
def test_each_process_is_told_settings_it_knows_and_only_its_own(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings_of(name, monkeypatch).preset == "demo"
    prefix, _ = SETTINGS[target(name)]
    assert all(key.startswith(prefix) for key in environment(name))


@pytest.mark.parametrize("profile", ["cpu", "gpu", "cluster", "demo"])
def test_the_api_reaches_its_workers_and_its_gallery(
    profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = PROFILES[profile]
    (api,) = (name for name in there if name.startswith("api"))
    settings = settings_of(api, monkeypatch)
    (url,) = settings.worker.urls
    assert url == f"http://worker:{exposed_port('worker')}"
    assert settings.worker.resolve_dns
    (worker,) = reachable(api, "worker", there)
    assert target(worker) == "worker"
    asked = reachable(api, "qdrant", there)
    assert asked == there & QDRANTS
    assert (settings.gallery.url == "http://qdrant:6333") == bool(asked)
    assert SERVICES[api]["ports"][0].endswith(f":{exposed_port('api')}")


@pytest.mark.parametrize("name", sorted(OURS))
def test_volumes_are_where_the_settings_look_and_writable_for_the_indexer_only(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(name, monkeypatch)
    (folder,) = re.findall(r"^WORKDIR (.*)$", DOCKERFILE, re.MULTILINE)
    images = str(Path(folder) / settings.image_store)
    assert mounts(name)[images] == ("images", target(name) == "indexer")
    for path, (_, writable) in mounts(name).items():
        assert not writable or path in re.findall(r"[\w/]+", stage_of("base")), (
            f"{path} is not in the image, so a new volume there belongs to root"
        )
    if target(name) != "worker" and settings.gallery.url is None:
        held = Path(folder) / settings.gallery.path
        assert mounts(name)[str(held.parent)] == ("demo", True)


def test_the_embedded_gallery_is_served_while_it_is_built() -> None:
    assert SERVICES["api-demo"]["depends_on"] == {}
    assert mounts("api-demo")["/srv/data"] == mounts("gallery-demo")["/srv/data"] == ("demo", True)
    assert "restart" not in SERVICES["gallery-demo"]


def test_every_volume_and_network_is_declared_and_used() -> None:
    used = {source for name in SERVICES for source, _ in mounts(name).values()}
    assert {source for source in used if not source.startswith(".")} == set(COMPOSE["volumes"])
    assert {net for name in SERVICES for net in networks(name)} == set(COMPOSE["networks"])
    for path in used:
        if path.startswith("./docker/"):
            assert (ROOT / path).exists(), path


def test_qdrant_is_reached_by_those_who_have_its_key_and_by_nobody_else() -> None:
    assert COMPOSE["networks"]["gallery"] == {"internal": True}
    keys = {environment(name)["QDRANT__SERVICE__API_KEY"] for name in QDRANTS}
    for name in SERVICES:
        on_its_network = "gallery" in networks(name)
        has_key = any(value in keys for value in environment(name).values())
        assert on_its_network == has_key, name
        assert not on_its_network or name in QDRANTS or target(name) in {"api", "indexer"}
        assert name not in QDRANTS or (
            set(networks(name)) == {"gallery"} and "ports" not in SERVICES[name]
        )
    assert len(keys) == 1


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_is_confined_pinned_and_published_on_this_machine_only(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+(-unprivileged)?", service["image"])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_gpus_are_asked_for_in_the_gpu_profiles_only() -> None:
    asking = {name for name, service in SERVICES.items() if "deploy" in service}
    assert asking == {"worker-gpu", "indexer-gpu"}


def test_a_worker_may_finish_what_it_promised_before_it_is_killed() -> None:
    grace_s = int(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace_s >= WorkerSettings().shutdown_grace_s + 5


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("vendor.compose-spec", "docker-compose.yml"),
        ("vendor.github-workflows", ".github/workflows/ci.yml"),
    ],
)
def test_files_follow_the_published_schema(schema: str, path: str) -> None:
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is not installed")
    from check_jsonschema import main

    with pytest.raises(SystemExit) as ended:
        main(["--builtin-schema", schema, str(ROOT / path)])
    assert ended.value.code == 0
