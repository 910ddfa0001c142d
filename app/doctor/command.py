"""The command: reads the settings of all processes, asks every part, prints, and exits 0 or 1."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel
from typer import Option

from app.api.settings import ApiSettings
from app.doctor import models
from app.doctor.packages import check_packages, installed_roles
from app.doctor.report import Finding, Report, command
from app.web.server import ListenOptions
from app.worker.settings import WorkerSettings, settings_of_worker_beside
from models.errors import InputError
from models.presets import ModelNeeds, load_preset
from models.settings import SettingsError, read_settings, without_password

_CAN_RUN, _CANNOT_RUN = 0, 1
_SHIPPED = "demo"


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(ListenOptions):
    """`python -m app doctor`."""

    preset: Annotated[
        str | None, Option(help="instead of the one that the environment sets", metavar="NAME")
    ] = None
    load: Annotated[
        bool,
        Option(
            "--load",
            help="load the encoder, to compare its weights with the gallery's (demo: always)",
        ),
    ] = False
    json: Annotated[bool, Option("--json", help="the report as JSON")] = False


def run_doctor(options: DoctorOptions) -> int:
    """Look at everything and print the report; returns the exit code: 0 if it can run, else 1."""
    try:
        api, worker = _settings(options.preset)
    except InputError as error:
        problems = error.problems if isinstance(error, SettingsError) else (str(error),)
        wrong = tuple(Finding("settings", "error", problem) for problem in problems)
        return _print(Report(options.preset or "?", wrong), options.json)
    report = Report(api.preset, tuple(_findings(api, worker, options)))
    return _print(report, options.json)


def _settings(preset: str | None) -> tuple[ApiSettings, WorkerSettings]:
    """Of API and worker; as in `python -m app`, the worker's preset is the API's by default."""
    if preset is None:
        api = read_settings(ApiSettings)
        return api, settings_of_worker_beside(api.preset)
    return read_settings(ApiSettings, preset=preset), read_settings(WorkerSettings, preset=preset)


def _findings(
    api: ApiSettings, worker: WorkerSettings, options: DoctorOptions
) -> Iterator[Finding]:
    yield Finding(
        "preset", "ok", f"{api.preset}: {load_preset(api.preset).description or 'a file of yours'}"
    )
    yield from _presets_agree(api, worker)
    yield from check_packages()
    roles = installed_roles()
    if "api" in roles or "indexer" in roles:
        yield from models.check_encoder(api.encoder, _needs(api, "encoder", api.encoder))
    if api.worker.urls:
        yield Finding("reranker", "ok", f"runs elsewhere: {_named(api.worker.urls)}")
    elif api.external_reranker.url is not None:
        address = without_password(api.external_reranker.url)
        yield Finding(
            "reranker", "ok", f"runs elsewhere: {api.external_reranker.model} at {address}"
        )
    elif "worker" in roles:
        yield from _reranker(worker)
        if "api" in roles:
            yield from _both(api, worker)
    if "api" in roles:
        yield from _services(api, options)


def _presets_agree(api: ApiSettings, worker: WorkerSettings) -> Iterator[Finding]:
    indexer = os.environ.get("CIR_INDEXER__PRESET", "demo")
    if worker.preset != api.preset:
        yield Finding(
            "preset", "warn", f"CIR_WORKER__PRESET is {worker.preset}", "set all to the same"
        )
    if indexer != api.preset:
        yield Finding(
            "preset", "warn", f"a build would use CIR_INDEXER__PRESET, which is {indexer}",
            f"export CIR_INDEXER__PRESET={api.preset}",
        )  # fmt: skip


def _reranker(worker: WorkerSettings) -> Iterator[Finding]:
    reranker = worker.reranker
    if reranker is None:
        yield Finding("reranker", "ok", f"the preset {worker.preset!r} has none: no re-ranking")
        return
    without = command("app --no-worker", "CIR_API__PRESET", worker.preset)
    yield from models.check_reranker(reranker, _needs(worker, "reranker", reranker), without)


def _both(api: ApiSettings, worker: WorkerSettings) -> Iterator[Finding]:
    """Room for API and worker on one machine, where the presets say what both need."""
    reranker = worker.reranker
    if reranker is None:
        return
    needs = _needs(api, "encoder", api.encoder), _needs(worker, "reranker", reranker)
    if needs[0] is not None and needs[1] is not None:
        without = command("app --no-worker", "CIR_API__PRESET", worker.preset)
        devices = api.encoder.device, reranker.device
        yield from models.check_memory_of_both((needs[0], needs[1]), devices, without)


def _services(api: ApiSettings, options: DoctorOptions) -> Iterator[Finding]:
    # both import what only the API has
    from app.doctor.gallery import check_gallery  # noqa: PLC0415
    from app.doctor.services import (  # noqa: PLC0415
        check_external_reranker,
        check_port,
        check_workers,
    )

    build = command("indexer build --images FOLDER", "CIR_INDEXER__PRESET", api.preset)
    load = options.load or api.encoder.model == _SHIPPED
    yield from check_gallery(api.gallery, api.image_store, api.encoder, load, build)
    yield from check_workers(api)
    if api.external_reranker.url is not None:
        yield asyncio.run(check_external_reranker(api.external_reranker))
    yield check_port(options.host, options.port)


def _named(urls: Sequence[str]) -> str:
    return ", ".join(without_password(url) for url in urls)


def _needs(
    settings: ApiSettings | WorkerSettings, part: Literal["encoder", "reranker"], runs: BaseModel
) -> ModelNeeds | None:
    """What the preset says of a model, if that is the model that runs."""
    preset = load_preset(settings.preset)
    owner = "model" if part == "encoder" else "base"
    if preset.needs is None or getattr(runs, owner) != getattr(getattr(preset, part), owner, None):
        return None
    needs: ModelNeeds | None = getattr(preset.needs, part)
    return needs


def _print(report: Report, as_json: bool) -> int:
    if as_json:
        print(json.dumps(report.as_dict(), indent=1, ensure_ascii=False))
    else:
        print("\n".join(report.lines()))
    sys.stdout.flush()
    return _CAN_RUN if report.can_run else _CANNOT_RUN
