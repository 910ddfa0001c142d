"""The way to a Qdrant server: what its connection does when the server moves."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from qdrant_client import grpc as pb

from indexer.gallery.server.client import GRPC_OPTIONS


class Resolver:
    """A name server that knows one address, whatever it is asked for."""

    def __init__(self) -> None:
        self.address = "127.0.0.1"
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._socket.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, client = self._socket.recvfrom(512)
            if not query:
                return
            end = query.index(b"\0", 12) + 5  # of the question: a name, a type, a class
            (kind,) = struct.unpack(">H", query[end - 4 : end - 2])
            record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 1, 4) + socket.inet_aton(self.address)
            answers = [record] if kind == 1 else []
            header = query[:2] + b"\x81\x80" + struct.pack(">HHHH", 1, len(answers), 0, 0)
            self._socket.sendto(header + query[12:end] + b"".join(answers), client)


class Health(pb.QdrantServicer):
    def HealthCheck(self, request: Any, context: Any) -> Any:  # noqa: N802
        return pb.HealthCheckReply(title="moving", version="1.20.0")


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    started = Resolver()
    yield started
    started.close()


def server(address: str, port: int = 0) -> tuple[grpc.Server, int]:
    started = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
    pb.add_QdrantServicer_to_server(Health(), started)
    port = started.add_insecure_port(f"{address}:{port}")
    started.start()
    return started, port


def test_a_server_that_comes_back_under_another_address_is_found(resolver: Resolver) -> None:
    """gRPC itself looks up a name every 30 s at most."""
    first, port = server("127.0.0.1")
    target = f"dns://127.0.0.1:{resolver.port}/qdrant.test:{port}"
    with grpc.insecure_channel(target, list(GRPC_OPTIONS.items())) as channel:
        stub = pb.QdrantStub(channel)
        assert stub.HealthCheck(pb.HealthCheckRequest(), timeout=10).version == "1.20.0"
        first.stop(None).wait()
        resolver.address = "127.0.0.2"
        second, _ = server("127.0.0.2", port)
        moved = time.monotonic()
        while True:
            try:
                stub.HealthCheck(pb.HealthCheckRequest(), timeout=10)
                break
            except grpc.RpcError:
                assert time.monotonic() - moved < 15, "it is looked for at the old address"
                time.sleep(0.05)
        second.stop(None).wait()
