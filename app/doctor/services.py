"""What is reached over the network: the workers of the API, and the port it would listen on."""

from collections.abc import Iterator

import httpx
from pydantic import ValidationError

from app.api.settings import ApiSettings
from app.doctor import machine
from app.doctor.report import Finding
from models.contracts.rerank import WorkerInfo

_TIMEOUT_S = 5.0


def check_port(host: str, port: int) -> Finding:
    """Report whether the API could listen."""
    if machine.port_is_free(host, port):
        return Finding("port", "ok", f"{host}:{port} is free")
    return Finding(
        "port", "warn", f"something listens on {host}:{port} already",
        "if that is not this service: python -m app --port NUMBER",
    )  # fmt: skip


def check_workers(settings: ApiSettings) -> Iterator[Finding]:
    """Report every worker; one that is gone costs quality, never the answer, so it is no error."""
    judges = set()
    with httpx.Client(timeout=_TIMEOUT_S, trust_env=False) as http:
        for url in settings.worker.urls:
            try:
                info = WorkerInfo.model_validate_json(_get(http, f"{url}/v1/info"))
                _get(http, f"{url}/readyz")
            except (httpx.HTTPError, ValidationError) as error:
                yield Finding(
                    "worker", "warn", f"{url} is not ready: {_first_line(error)}",
                    "start it, or mend CIR_API__WORKER__URLS; searches are not re-ranked meanwhile",
                )  # fmt: skip
            else:
                judges.add(info.judge)
                yield Finding("worker", "ok", f"{url}: judge {info.judge} on {info.device}")
    if len(judges) > 1:
        yield Finding(
            "worker", "warn", f"the workers have different judges: {', '.join(sorted(judges))}",
            "give all the same preset; their scores cannot be compared",
        )  # fmt: skip


def _get(http: httpx.Client, url: str) -> bytes:
    return http.get(url).raise_for_status().content


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
