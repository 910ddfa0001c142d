"""What is reached over the network: the workers of the API, and the port it would listen on."""

from collections.abc import Iterator

import httpx
from pydantic import ValidationError

from app.api.settings import ApiSettings
from app.doctor import machine
from app.doctor.report import Finding
from models.contracts.rerank import WorkerInfo
from models.settings import without_password

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
                    "worker", "warn", f"{without_password(url)} is not ready: {_why(error)}",
                    "start it, or mend CIR_API__WORKER__URLS; searches are not re-ranked meanwhile",
                )  # fmt: skip
            else:
                judges.add(info.judge)
                said = f"{without_password(url)}: judge {info.judge} on {info.device}"
                yield Finding("worker", "ok", said)
    if len(judges) > 1:
        yield Finding(
            "worker", "warn", f"the workers have different judges: {', '.join(sorted(judges))}",
            "give all the same preset; their scores cannot be compared",
        )  # fmt: skip


def _get(http: httpx.Client, url: str) -> bytes:
    return http.get(url).raise_for_status().content


def _why(error: httpx.HTTPError | ValidationError) -> str:
    """In words without the address, which may hold a password."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answers {error.response.status_code}"
    if isinstance(error, ValidationError):
        return "its /v1/info is not what a worker says"
    return f"{type(error).__name__} {error}".strip()
