"""How a server's collection is created, indexed and verified; the order matters.

Payload indexes come before the data, so that the graph gets edges that filters can follow; the HNSW
graph comes after it, so that it is built once; and nothing counts as done until the server reports
it.
"""

import time
from collections import Counter
from collections.abc import Sequence

from qdrant_client import QdrantClient, models

from indexer.gallery.errors import GalleryError
from indexer.gallery.server.storage import Storage, search_params
from indexer.gallery.settings import GalleryWriterSettings
from models.contracts.gallery import (
    MAX_QUERY_LIMIT,
    VECTOR_NAME,
    Facet,
    GallerySpec,
    attribute_key,
)

_POLL_INTERVAL_S, _QUIET_POLLS = 0.5, 2  # in a row that say the server is at rest
_STALLED_S = 1800.0  # without progress until a build is given up
_RECALL_SAMPLES, _RECALL_DEPTH, _MIN_RECALL = 20, 10, 0.9
_GRAPH_EDGES = 16  # per node: Qdrant's own default, set because loading sets it to none
_INDEX_TYPES = {
    "keyword": models.PayloadSchemaType.KEYWORD,
    "number": models.PayloadSchemaType.FLOAT,
    "flag": models.PayloadSchemaType.BOOL,
}


def create(
    client: QdrantClient, name: str, spec: GallerySpec, settings: GalleryWriterSettings
) -> None:
    """A collection without a graph, which refuses requests that would slow down all others.

    One that is there by now is left as it is: builds of two shards may begin at once.
    """
    try:
        _create(client, name, spec, settings)
    except Exception:
        if name not in {each.name for each in client.get_collections().collections}:
            raise


def _create(
    client: QdrantClient, name: str, spec: GallerySpec, settings: GalleryWriterSettings
) -> None:
    vectors = models.VectorParams(size=spec.embedding_dim, distance=models.Distance.COSINE)
    client.create_collection(
        name,
        vectors_config={VECTOR_NAME: vectors},
        hnsw_config=models.HnswConfigDiff(m=0),
        shard_number=settings.shard_number,
        replication_factor=settings.replication_factor,
        write_consistency_factor=settings.write_consistency_factor,
        strict_mode_config=models.StrictModeConfig(
            enabled=True,
            unindexed_filtering_retrieve=False,
            unindexed_filtering_update=False,
            max_query_limit=MAX_QUERY_LIMIT,
            search_allow_exact=True,  # `check_recall` compares with it
        ),
        metadata=spec.model_dump(mode="json"),
    )


def index_payload(client: QdrantClient, name: str, facets: Sequence[Facet]) -> None:
    """Index every facet that is not indexed as what it is; a resumed build may have new ones."""
    indexed = client.get_collection(name).payload_schema
    for facet in facets:
        key, wanted = attribute_key(facet.name), _INDEX_TYPES[facet.kind]
        if key not in indexed or indexed[key].data_type != wanted:
            client.create_payload_index(name, key, wanted, wait=True)


def build_graph(client: QdrantClient, name: str, storage: Storage) -> None:
    """Let the server store the collection so, build its HNSW graph, and wait until it is at rest.

    Raises:
        GalleryError: The server gave up, or has got nowhere for half an hour.
    """
    vectors = storage.vectors_diff()
    client.update_collection(
        name,
        vectors_config={VECTOR_NAME: vectors} if vectors is not None else None,
        collection_params=models.CollectionParamsDiff(on_disk_payload=storage.on_disk),
        hnsw_config=models.HnswConfigDiff(m=_GRAPH_EDGES),
    )
    quiet, indexed, moved_at = 0, -1, time.monotonic()
    while quiet < _QUIET_POLLS:  # the server begins a moment after it was asked to
        time.sleep(_POLL_INTERVAL_S)
        info = client.get_collection(name)
        if isinstance(info.optimizer_status, models.OptimizersStatusOneOf1):
            raise GalleryError(
                f"the server could not index {name}: {info.optimizer_status.error}; the gallery in "
                "service was left as it is"
            )
        if info.status == models.CollectionStatus.GREY:  # a restarted server waits for an update
            client.update_collection(name, optimizers_config=models.OptimizersConfigDiff())
        quiet = quiet + 1 if info.status == models.CollectionStatus.GREEN else 0
        if info.indexed_vectors_count != indexed:
            indexed, moved_at = info.indexed_vectors_count or 0, time.monotonic()
        elif time.monotonic() - moved_at > _STALLED_S:
            raise GalleryError(
                f"the server has indexed {indexed} vectors of {name} and nothing more for "
                f"{_STALLED_S / 60:.0f} minutes; look at its log, then run the build again"
            )


def check_replicas(client: QdrantClient, name: str) -> None:
    """Check that every shard is whole on as many nodes as it should be.

    Raises:
        GalleryError: Some replica is missing, or still catching up.
    """
    wanted = client.get_collection(name).config.params.replication_factor or 1
    if wanted == 1:
        return
    cluster = client.collection_cluster_info(name)
    shards: list[models.LocalShardInfo | models.RemoteShardInfo] = [
        *cluster.local_shards,
        *cluster.remote_shards,
    ]
    whole = Counter(s.shard_id for s in shards if s.state == models.ReplicaState.ACTIVE)
    for shard_id in sorted({shard.shard_id for shard in shards}):
        if whole[shard_id] < wanted:
            raise GalleryError(
                f"shard {shard_id} of {name} is whole on {whole[shard_id]} nodes, not on "
                f"{wanted}; when all nodes are up, run the build again: it "
                "goes on where it was"
            )


def check_recall(client: QdrantClient, name: str) -> None:
    """Search with some of the gallery's own embeddings, exactly and through the graph.

    Raises:
        GalleryError: The graph loses more than a tenth of what an exact search finds.
    """
    sample, _ = client.scroll(name, limit=_RECALL_SAMPLES, with_payload=False, with_vectors=True)
    found = total = 0
    for point in sample:
        assert isinstance(point.vector, dict)
        query = point.vector[VECTOR_NAME]
        exact, indexed = (_nearest(client, name, query, exact=way) for way in (True, False))
        found, total = found + len(exact & indexed), total + len(exact)
    if total and found / total < _MIN_RECALL:
        raise GalleryError(
            f"the new collection's index finds only {found / total:.0%} of what an exact search "
            "finds; the gallery in service was left as it is"
        )


def _nearest(
    client: QdrantClient, name: str, query: models.VectorOutput, exact: bool
) -> set[models.ExtendedPointId]:
    hits = client.query_points(
        name,
        query=query,
        using=VECTOR_NAME,
        limit=_RECALL_DEPTH,
        search_params=search_params(exact),
        with_payload=False,
    )
    return {hit.id for hit in hits.points}
