"""What is reached over the network: workers, an external reranker, and the port to listen on."""

from collections.abc import Iterator

import httpx
from pydantic import ValidationError

from app.api.adapters.vllm_client import self_test
from app.api.adapters.vllm_protocol import ScoringClient
from app.api.settings import ApiSettings, ExternalRerankerSettings
from app.doctor import environment
from app.doctor.report import Finding
from app.web.errors import RerankerError
from models.contracts.rerank import WorkerInfo
from models.settings import without_password

_TIMEOUT_S = 5.0
_SELF_TEST_S = 20.0


def check_port(host: str, port: int) -> Finding:
    """Report whether the API could listen."""
    if environment.port_is_free(host, port):
        return Finding("port", "ok", f"{host}:{port} is free")
    return Finding(
        "port", "warn", f"something listens on {host}:{port} already",
        "if that is not this service: python -m app --port NUMBER",
    )  # fmt: skip


def check_workers(settings: ApiSettings) -> Iterator[Finding]:
    """Report every worker; one that is gone costs quality, never the answer, so it is no error."""
    rerankers = set()
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
                rerankers.add(info.reranker)
                said = f"{without_password(url)}: reranker {info.reranker} on {info.device}"
                yield Finding("worker", "ok", said)
    if len(rerankers) > 1:
        yield Finding(
            "worker", "warn", f"the workers have different rerankers: "
                              f"{', '.join(sorted(rerankers))}",
            "give all the same preset; their scores cannot be compared",
        )  # fmt: skip


async def check_external_reranker(settings: ExternalRerankerSettings) -> Finding:
    """Report a reranker that is not ours, by the self-test that it must pass to be asked."""
    timeout = httpx.Timeout(None, connect=settings.connect_timeout_s)
    async with httpx.AsyncClient(timeout=timeout, trust_env=False) as http:
        client = ScoringClient(http, settings)
        try:
            await self_test(client, min(settings.self_test_timeout_s, _SELF_TEST_S))
        except RerankerError as error:
            return Finding(
                "reranker", "warn", f"{client.address} is not ready: {error}",
                "mend it, or CIR_API__EXTERNAL_RERANKER__…; searches are not re-ranked meanwhile",
            )  # fmt: skip
    said = f"{client.address}: {settings.model} tells plain shapes apart"
    return Finding("reranker", "ok", said)


def _get(http: httpx.Client, url: str) -> bytes:
    return http.get(url).raise_for_status().content


def _why(error: httpx.HTTPError | ValidationError) -> str:
    """In words without the address, which may hold a password."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answers {error.response.status_code}"
    if isinstance(error, ValidationError):
        return "its /v1/info is not what a worker says"
    return f"{type(error).__name__} {error}".strip()
