"""A gRPC endpoint that speaks Qdrant's protocol, over the local engine, and fails on demand.

It is *not* the server: there is no graph, no cluster and no disk behind it. What it is good for is
our side of the wire: that client construction, the key, deadlines, errors, batches, the order of
requests and the server's strict mode are met by what we really send over a real socket. It answers
with qdrant-client's own generated stubs and conversions.
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from qdrant_client import QdrantClient
from qdrant_client import grpc as pb
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc

from tests.app.api.stub_worker import free_port


class Shim:
    """What the endpoint does and what it was asked.

    Attributes:
        asked: Every request in order, as (method, message).
        delay_s: Before every answer.
        delays: Before the next answers, instead.
        lost: How many of the next requests are lost.
        version: What it says it is.
        key: The only key that opens it; None: no key needed.
        failing: Method → the status it fails with.
        replication_factor: Of collections whose makers name none.
        statuses: What `Get` says of a collection next, before it says "green".
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.asked: list[tuple[str, Any]] = []
        self.delay_s = 0.0
        self.delays: list[float] = []
        self.lost = 0
        self.version = "1.20.0"
        self.key: str | None = None
        self.failing: dict[str, grpc.StatusCode] = {}
        self.statuses: list[Any] = []
        self.replication_factor = 1
        self.engine = QdrantClient(":memory:")
        self.indexes: dict[str, dict[str, int]] = {}  # collection → key → type
        self.strict: dict[str, Any] = {}
        self.replicas: dict[str, int] = {}
        self.lock = threading.Lock()
        self._server: grpc.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve, on the same port every time and with what was stored before."""
        self._threads = ThreadPoolExecutor(16)
        self._server = grpc.server(
            self._threads,
            interceptors=[_Door(self)],
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)],
        )
        pb.add_CollectionsServicer_to_server(_Collections(self), self._server)
        pb.add_PointsServicer_to_server(_Points(self), self._server)
        pb.add_QdrantServicer_to_server(_Root(self), self._server)
        self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def stop(self) -> None:
        """Die: cut every connection."""
        if self._server is not None:
            self._server.stop(None).wait()
            self._threads.shutdown()
            self._server = None

    def resolved(self, name: str) -> str:
        """The collection behind a name, which may be an alias."""
        aliases = {a.alias_name: a.collection_name for a in self.engine.get_aliases().aliases}
        return aliases.get(name, name)

    def methods(self) -> list[str]:
        return [method for method, _ in self.asked]

    def requests(self, method: str) -> list[Any]:
        return [request for name, request in self.asked if name == method]


@contextmanager
def qdrant_shim() -> Iterator[Shim]:
    shim = Shim()
    shim.start()
    try:
        yield shim
    finally:
        shim.stop()
        shim.engine.close()


class _Door(grpc.ServerInterceptor):  # type: ignore[misc]
    """Key, slowness, failures and the list of what was asked, for every method."""

    def __init__(self, shim: Shim) -> None:
        self._shim = shim

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler, shim = continuation(details), self._shim
        method = details.method.rsplit("/", 1)[1]

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            shim.asked.append((method, request))
            key = dict(details.invocation_metadata).get("api-key")
            if shim.key is not None and key != shim.key:
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "Invalid API key or JWT")
            if method in shim.failing:
                context.abort(shim.failing[method], "on demand")
            if shim.lost:
                shim.lost -= 1
                context.abort(grpc.StatusCode.UNAVAILABLE, "lost on demand")
            time.sleep(shim.delays.pop(0) if shim.delays else shim.delay_s)
            with shim.lock:
                try:
                    return handler.unary_unary(request, context)
                except ValueError as error:  # what the engine says where the server says this
                    context.abort(grpc.StatusCode.NOT_FOUND, str(error))

        return grpc.unary_unary_rpc_method_handler(
            answer, handler.request_deserializer, handler.response_serializer
        )


class _Root(pb.QdrantServicer):
    def __init__(self, shim: Shim) -> None:
        self._shim = shim

    def HealthCheck(self, request: Any, context: Any) -> Any:  # noqa: N802
        return pb.HealthCheckReply(title="shim", version=self._shim.version)


class _Collections(pb.CollectionsServicer):
    def __init__(self, shim: Shim) -> None:
        self._shim, self._engine = shim, shim.engine

    def List(self, request: Any, context: Any) -> Any:  # noqa: N802
        names = [c.name for c in self._engine.get_collections().collections]
        return pb.ListCollectionsResponse(
            collections=[pb.CollectionDescription(name=name) for name in names]
        )

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        name = request.collection_name
        metadata = GrpcToRest.convert_payload(request.metadata)
        self._engine.create_collection(
            name,
            GrpcToRest.convert_vectors_config(request.vectors_config),
            metadata=metadata,
        )
        shim = self._shim
        shim.replicas[name] = request.replication_factor or shim.replication_factor
        shim.indexes[name] = {}
        shim.strict[name] = request.strict_mode_config
        return pb.CollectionOperationResponse(result=True)

    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.metadata:
            metadata = GrpcToRest.convert_payload(request.metadata)
            self._engine.update_collection(request.collection_name, metadata=metadata)
        return pb.CollectionOperationResponse(result=True)

    def Get(self, request: Any, context: Any) -> Any:  # noqa: N802
        info = RestToGrpc.convert_collection_info(
            self._engine.get_collection(request.collection_name)
        )
        for key, kind in self._shim.indexes.get(request.collection_name, {}).items():
            info.payload_schema[key].data_type = kind
        name = self._shim.resolved(request.collection_name)
        info.config.params.replication_factor = self._shim.replicas[name]
        if self._shim.statuses:
            info.status = self._shim.statuses.pop(0)
        return pb.GetCollectionInfoResponse(result=info)

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._engine.delete_collection(request.collection_name)
        return pb.CollectionOperationResponse(result=True)

    def UpdateAliases(self, request: Any, context: Any) -> Any:  # noqa: N802
        actions = [GrpcToRest.convert_alias_operations(action) for action in request.actions]
        self._engine.update_collection_aliases(actions)
        return pb.CollectionOperationResponse(result=True)

    def ListAliases(self, request: Any, context: Any) -> Any:  # noqa: N802
        aliases = self._engine.get_aliases().aliases
        return pb.ListAliasesResponse(
            aliases=[RestToGrpc.convert_alias_description(alias) for alias in aliases]
        )

    def CollectionClusterInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        here = pb.LocalShardInfo(shard_id=0, points_count=1, state=pb.ReplicaState.Active)
        there = pb.RemoteShardInfo(shard_id=0, peer_id=2, state=pb.ReplicaState.Partial)
        return pb.CollectionClusterInfoResponse(
            peer_id=1, shard_count=1, local_shards=[here], remote_shards=[there]
        )


class _Points(pb.PointsServicer):
    def __init__(self, shim: Shim) -> None:
        self._shim, self._engine = shim, shim.engine

    def CreateFieldIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        # field types and schema types are numbered differently on the wire
        kinds = {
            pb.FieldType.FieldTypeKeyword: pb.PayloadSchemaType.Keyword,
            pb.FieldType.FieldTypeFloat: pb.PayloadSchemaType.Float,
            pb.FieldType.FieldTypeBool: pb.PayloadSchemaType.Bool,
        }
        indexes = self._shim.indexes[request.collection_name]
        indexes[request.field_name] = kinds[request.field_type]
        return _done()

    def Upsert(self, request: Any, context: Any) -> Any:  # noqa: N802
        points = [GrpcToRest.convert_point_struct(point) for point in request.points]
        self._engine.upsert(request.collection_name, points)
        return _done()

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._engine.delete(
            request.collection_name, GrpcToRest.convert_points_selector(request.points)
        )
        return _done()

    def Count(self, request: Any, context: Any) -> Any:  # noqa: N802
        count = self._engine.count(request.collection_name).count
        return pb.CountResponse(result=pb.CountResult(count=count))

    def Get(self, request: Any, context: Any) -> Any:  # noqa: N802
        records = self._engine.retrieve(
            request.collection_name,
            [GrpcToRest.convert_point_id(point_id) for point_id in request.ids],
            with_payload=GrpcToRest.convert_with_payload_selector(request.with_payload),
            with_vectors=GrpcToRest.convert_with_vectors_selector(request.with_vectors),
        )
        return pb.GetResponse(result=[_record(r) for r in records])

    def Scroll(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._check_strict(request, context)
        start = GrpcToRest.convert_point_id(request.offset) if request.HasField("offset") else None
        records, following = self._engine.scroll(
            request.collection_name,
            scroll_filter=_filter(request),
            limit=request.limit,
            offset=start,
            with_payload=GrpcToRest.convert_with_payload_selector(request.with_payload),
            with_vectors=GrpcToRest.convert_with_vectors_selector(request.with_vectors),
        )
        answer = pb.ScrollResponse(result=[_record(r) for r in records])
        if following is not None:
            answer.next_page_offset.CopyFrom(RestToGrpc.convert_extended_point_id(following))
        return answer

    def Query(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._check_strict(request, context)
        found = self._engine.query_points(
            request.collection_name,
            query=GrpcToRest.convert_query(request.query),
            using=request.using,
            limit=request.limit,
            query_filter=_filter(request),
            with_payload=GrpcToRest.convert_with_payload_selector(request.with_payload),
        )
        hits = [RestToGrpc.convert_scored_point(point) for point in found.points]
        return pb.QueryResponse(result=hits)

    def _check_strict(self, request: Any, context: grpc.ServicerContext) -> None:
        """Refuse what a server in strict mode refuses, in its words."""
        name = self._shim.resolved(request.collection_name)
        strict = self._shim.strict[name]
        if request.limit > strict.max_query_limit:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Limit exceeded {request.limit} > max")
        if not strict.unindexed_filtering_retrieve:
            for key in _keys(request.filter):
                if key not in self._shim.indexes[name]:
                    context.abort(
                        grpc.StatusCode.INVALID_ARGUMENT, f"Index required but not found for {key}"
                    )


def _done() -> Any:
    return pb.PointsOperationResponse(
        result=pb.UpdateResult(operation_id=1, status=pb.UpdateStatus.Completed)
    )


def _record(record: Any) -> Any:
    """The conversion wants a payload, also where none was asked for."""
    return RestToGrpc.convert_retrieved_point(
        record.model_copy(update={"payload": record.payload or {}})
    )


def _filter(request: Any) -> Any:
    return GrpcToRest.convert_filter(request.filter) if request.HasField("filter") else None


def _keys(condition: Any) -> Iterator[str]:
    """Every payload key that a filter reads."""
    for part in condition.must:
        kind = part.WhichOneof("condition_one_of")
        if kind == "field":
            yield part.field.key
        elif kind == "filter":
            yield from _keys(part.filter)
