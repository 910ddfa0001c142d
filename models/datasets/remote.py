"""Bytes of a file, on disk or wherever a URL points; every failure is an `OSError`."""

from pathlib import Path
from urllib.parse import urlsplit

import fsspec
from fsspec.asyn import AsyncFileSystem, sync

READ_TIMEOUT_S = 60.0


def read_range(location: str, start: int, count: int, timeout_s: float) -> bytes:
    """At most `count` bytes of a file, from `start`.

    Args:
        location: A path, or a URL that fsspec can open.
        start: The first byte.
        count: The most bytes that are read.
        timeout_s: Longest wait for all of them at a URL, in seconds.

    Raises:
        TimeoutError: That took longer; an `OSError` too.
        OSError: The file cannot be read.
    """
    if "://" not in location:
        return _from_disk(location, start, count)
    host = urlsplit(location).netloc
    try:
        return _from_url(location, start, count, timeout_s)
    except TimeoutError as error:
        raise TimeoutError(f"no answer from {host} within {timeout_s:g} s") from error
    except OSError:
        raise
    except Exception as error:  # every driver has errors of its own, or is not installed
        raise OSError(str(error) or type(error).__name__) from error


def _from_disk(path: str, start: int, count: int) -> bytes:
    try:
        with Path(path).open("rb") as file:
            file.seek(start)
            return file.read(count)
    except ValueError as error:  # characters that no path has
        raise OSError(f"{path!r} is no path: {error}") from error


def _from_url(url: str, start: int, count: int, timeout_s: float) -> bytes:
    """Some bytes at a URL; only what is on a network knows the timeout."""
    filesystem, path = fsspec.url_to_fs(url)
    data: bytes
    if not isinstance(filesystem, AsyncFileSystem):
        with filesystem.open(path, "rb") as file:
            file.seek(start)
            data = file.read(count)
    elif "http" in filesystem.protocol and start == 0:  # of ranges, not every server has heard
        data = sync(filesystem.loop, _streamed, filesystem, path, count, timeout=timeout_s)
    else:
        data = sync(
            filesystem.loop,
            filesystem._cat_file,
            path,
            start=start,
            end=start + count,
            timeout=timeout_s,
        )
    return data


async def _streamed(filesystem: AsyncFileSystem, url: str, count: int) -> bytes:
    file = await filesystem.open_async(url, size=0)  # a size that is given is not asked for
    data = bytearray()
    try:
        while len(data) < count and (part := await file.read(count - len(data))):
            data += part
    finally:
        await file.close()
    return bytes(data)
