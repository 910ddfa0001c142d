"""Connections to a Qdrant server, for readers and writers alike.

Settings in, a connected client out. What goes wrong becomes a `QdrantUnavailable` with a sentence,
whether gRPC or the client raised it. Knows nothing of galleries.

A server is spoken to in gRPC only. Every call has a deadline (`timeout_s`); a server that went away
is found again within seconds of its return, without a new client.
"""

import importlib.metadata
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import grpc
from pydantic import ValidationError
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.common.version_check import is_compatible
from qdrant_client.http.exceptions import ApiException

from indexer.gallery.settings import GallerySettings
from models.settings import sentences

_log = logging.getLogger(__name__)

_OLDEST_SERVER = (
    1,
    16,
)  # the first that keeps a collection's metadata, our `GallerySpec`
GRPC_OPTIONS = {
    "grpc.enable_http_proxy": 0,  # the server is ours, also where a proxy leads to the world
    "grpc.initial_reconnect_backoff_ms": 200,
    "grpc.min_reconnect_backoff_ms": 1000,  # and the longest wait for one connection
    "grpc.max_reconnect_backoff_ms": 1000,  # gRPC's own two minutes would outlive any restart
    # a server that was restarted may be back under another address; gRPC asks every 30 s for it
    "grpc.dns_min_time_between_resolutions_ms": 500,
    # another client is another connection, also to the same server
    "grpc.use_local_subchannel_pool": 1,
    # a node that lost power closes no connection: without pings it stays "up" for minutes
    "grpc.keepalive_time_ms": 20_000,
    "grpc.keepalive_timeout_ms": 5_000,
    "grpc.keepalive_permit_without_calls": 1,
}


class QdrantUnavailable(RuntimeError):
    """Qdrant cannot be reached, or refuses; the message is a sentence that says what to do."""


class QdrantLost(QdrantUnavailable):
    """The server cannot be reached now; another of its addresses, or of its nodes, may be."""


class QdrantLate(QdrantLost):
    """The server did not answer in time."""


class CollectionGone(QdrantUnavailable):
    """There is no such collection, or no longer."""


_KINDS = {
    grpc.StatusCode.UNAVAILABLE: QdrantLost,
    grpc.StatusCode.DEADLINE_EXCEEDED: QdrantLate,
    grpc.StatusCode.NOT_FOUND: CollectionGone,
}


def connect(settings: GallerySettings) -> QdrantClient:
    """Connect to the server and check its version.

    Raises:
        QdrantUnavailable: The server does not answer; the key is wrong; the server is too old.
    """
    client = _server_client(settings)
    try:
        with translate_errors(settings):
            _check_version(settings, client.info().version)
    except QdrantUnavailable:
        client.close()
        raise
    return client


def reconnect(settings: GallerySettings) -> QdrantClient:
    """A client with a connection of its own to a server that `connect` has accepted."""
    return _server_client(settings)


@contextmanager
def translate_errors(settings: GallerySettings) -> Iterator[None]:
    """Turn what a client raises inside into `QdrantUnavailable`."""
    try:
        yield
    except grpc.RpcError as error:
        raise _KINDS.get(error.code(), QdrantUnavailable)(_sentence(settings, error)) from error
    except ValidationError as error:
        raise QdrantUnavailable(
            "the gallery holds what this version does not store "
            f"({next(sentences(error, _dotted))}); build it again"
        ) from error
    except (ApiException, QdrantException, OSError) as error:
        raise QdrantUnavailable(f"Qdrant failed: {error}") from error


def _dotted(at: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in at)


def _server_client(settings: GallerySettings) -> QdrantClient:
    key = settings.api_key.get_secret_value() if settings.api_key else None
    if key and str(settings.url).startswith("http://"):
        _log.warning(
            "the key of %s is sent unencrypted; https:// would protect it", settings.printed_url
        )
    # for good: threads connect, and `catch_warnings` restores the filters of all of them
    warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
    return QdrantClient(
        url=settings.url,
        grpc_port=settings.grpc_port,
        prefer_grpc=True,
        api_key=key,
        timeout=settings.timeout_s,
        grpc_options=dict(GRPC_OPTIONS),
        check_compatibility=False,  # it would use REST, and warn from a thread of its own
    )


def _check_version(settings: GallerySettings, server: str) -> None:
    """Refuse a server that would lose what we store; warn of one whose version is far from ours.

    Raises:
        QdrantUnavailable: It is too old.
    """
    major, minor = (int(number) for number in server.split(".")[:2])
    if (major, minor) < _OLDEST_SERVER:
        oldest = ".".join(map(str, _OLDEST_SERVER))
        raise QdrantUnavailable(
            f"the Qdrant server at {settings.printed_url} has version {server}, which cannot store "
            f"what a gallery says of itself; use {oldest} or newer"
        )
    client = importlib.metadata.version("qdrant-client")
    if not is_compatible(client, server):
        _log.warning(
            "Qdrant server %s and qdrant-client %s are more than one minor version apart, which "
            "is not tested",
            server,
            client,
        )


def _sentence(settings: GallerySettings, error: grpc.RpcError) -> str:
    """What a gRPC error means and what to do about it."""
    code, details = error.code(), error.details() or "no details"
    server = f"the Qdrant server at {settings.printed_url} (gRPC port {settings.grpc_port})"
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            return f"{server} cannot be reached; is it running, and both ports open? ({details})"
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"{server} did not answer within {settings.timeout_s} s"
        case grpc.StatusCode.UNAUTHENTICATED | grpc.StatusCode.PERMISSION_DENIED:
            return f"{server} does not let us in; is …__GALLERY__API_KEY its key? ({details})"
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return f"{server} has no room, or too much to do: {details}"
        case _:
            return f"{server} refused a request, {code.name}: {details}"
