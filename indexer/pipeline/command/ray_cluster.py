"""Shards on the nodes of a Ray cluster; who does what where, and again if a node is lost, Ray says.

A task is `build --shards I/N` on some node, which embeds into the generation on the server; so no
image and no embedding passes through Ray. Nodes need this package, the source and the image store
under the names that they have here, and the server's address.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from indexer.pipeline.options import BuildOptions
from models.errors import InputError, JobError

_SHARDS_PER_NODE = 4  # so that a lost node costs a part of its work, and slow ones do less
_RETRIES = 3


def embed_on_cluster(
    options: BuildOptions, address: str, build: Callable[[BuildOptions], Iterable[str]]
) -> Iterator[str]:
    """Embed all shards of a source; yields a line for each. Nothing is published.

    Args:
        options: The build, without `ray` and `shards`.
        address: The cluster's, as `ray.init` takes it; `local`: a cluster on this machine.
        build: The command, which runs on the nodes and yields its lines.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address.
        JobError: A shard could not be embedded; what is embedded stays.
    """
    try:
        import ray  # noqa: PLC0415  # heavy, and needed for clusters alone
    except ImportError as error:
        raise InputError("--ray needs Ray: pip install 'composed-image-retrieval[ray]'") from error
    ours = {name: value for name, value in os.environ.items() if name.startswith("CIR_")}
    try:
        ray.init(
            address, runtime_env={"env_vars": ours}, log_to_driver=False, logging_level="ERROR"
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"there is no Ray cluster at {address}: {error}") from error
    try:
        nodes = sum(node["Alive"] for node in ray.nodes())
        count = nodes * _SHARDS_PER_NODE
        task = ray.remote(max_retries=_RETRIES, num_cpus=1)(_embed)
        running: dict[Any, int] = {
            task.remote(build, replace(options, ray=None, shards=f"{number}/{count}")): number
            for number in range(1, count + 1)
        }
        yield f"{count} shards on {nodes} nodes"
        while running:
            (done, *_), _ = ray.wait(list(running))
            yield f"shard {running.pop(done)}: {ray.get(done)}"
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        raise JobError(
            f"a shard could not be embedded: {cause}; run the build again: it goes on where it was"
        ) from error
    finally:
        ray.shutdown()


def _embed(build: Callable[[BuildOptions], Iterable[str]], options: BuildOptions) -> str:
    """One shard, on the node where this runs; returns the line that sums it up."""
    return next(line for line in build(options) if " in the gallery " in line)
