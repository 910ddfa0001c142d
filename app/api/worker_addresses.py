"""From the name of a service to the workers behind it.

Where workers are replicas of one service, their name has one address each. Asked by name, every
connection would reach another of them; asked by address, each is a worker of its own, with its own
queries and its own failures.
"""

import asyncio
import socket
from urllib.parse import urlsplit


async def addresses_of(url: str) -> list[str]:
    """The URL once per IPv4 address of its host, in a stable order; an address is its own.

    Raises:
        OSError: The name is not known, or nobody answers who would know.
    """
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(
        parts.hostname, parts.port or 80, family=socket.AF_INET, type=socket.SOCK_STREAM
    )
    endpoints = sorted({(str(address[0]), int(address[1])) for *_, address in found})
    return [f"{parts.scheme}://{host}:{port}{parts.path}" for host, port in endpoints]
