"""Files on disk or wherever a URL points: their bytes, and which of them a manifest may name.

Every failure is an `OSError`. What may pass is tried again, after longer and longer waits, within
the time that a caller gives.
"""

import posixpath
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import fsspec
from fsspec.asyn import AsyncFileSystem, sync

READ_TIMEOUT_S = 60.0
_TRIES, _FIRST_WAIT_S = 3, 0.25
_PASSING_STATUSES = {408, 425, 429, 500, 502, 503, 504}
# scheme → the package that opens it, where that is not fsspec
_DRIVERS = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs",
    "hf": "huggingface_hub", "oci": "ocifs",
}  # fmt: skip
# what a manifest from elsewhere may name: nothing of this machine
_ON_A_NETWORK = {"http", "https", *_DRIVERS}


class HostUnreachable(OSError):
    """A host takes no connection, or keeps none."""


def is_url(location: str) -> bool:
    """Whether a location is a URL, and not a path."""
    return "://" in location


def resolved(image: str, base: Path | str) -> str:
    """Where an image is that a manifest names.

    Args:
        image: A URL, or a path relative to `base`.
        base: The manifest's folder: a path, or a URL.

    Raises:
        ValueError: A manifest at a URL names a file of this machine, or one outside its folder; the
            message ends "`image` …".
    """
    if isinstance(base, Path):
        return image if is_url(image) else str(base / image)
    if is_url(image):
        if "::" in image or _scheme(image) not in _ON_A_NETWORK | {_scheme(base)}:
            raise ValueError("must be on a network, as its manifest is")
        return image
    path = posixpath.normpath(image.replace("\\", "/"))
    if path.startswith(("/", "../")) or path == "..":
        raise ValueError("leads out of its manifest's folder")
    return f"{base.rstrip('/')}/{path}"


@contextmanager
def opened(location: Path | str) -> Iterator[IO[bytes]]:
    """A file, opened to be read in any order; one at a URL is first copied to a temporary one.

    Raises:
        OSError: It cannot be read.
    """
    if isinstance(location, Path):
        with location.open("rb") as file:
            yield file
        return
    with tempfile.TemporaryFile() as copy:
        with _driver_errors_as_os_errors(location), fsspec.open(location, "rb") as file:
            shutil.copyfileobj(file, copy)
        copy.seek(0)
        yield copy


@contextmanager
def opened_in_place(location: str) -> Iterator[IO[bytes]]:
    """A file, opened to be read in any order where it lies: only what is read is fetched.

    Args:
        location: A path, or a URL that fsspec can open.

    Raises:
        OSError: It cannot be read.
    """
    with _driver_errors_as_os_errors(location), fsspec.open(location, "rb") as file:
        yield file


def matching(pattern: str) -> list[str]:
    """The URLs that a URL with `*` stands for, in order.

    Raises:
        OSError: Whoever is asked cannot say.
    """
    with _driver_errors_as_os_errors(pattern):
        filesystem, path = fsspec.url_to_fs(pattern)
        return [filesystem.unstrip_protocol(found) for found in sorted(filesystem.glob(path))]


def read_range(location: str, start: int, count: int, timeout_s: float) -> bytes:
    """At most `count` bytes of a file, from `start`.

    Args:
        location: A path, or a URL that fsspec can open.
        start: The first byte.
        count: The most bytes that are read.
        timeout_s: Longest wait for all of them at a URL, all tries together, in seconds.

    Raises:
        TimeoutError: That took longer; an `OSError` too.
        HostUnreachable: The host takes no connection; an `OSError` too.
        OSError: The file cannot be read.
    """
    if not is_url(location):
        return _from_disk(location, start, count)
    ends = time.monotonic() + timeout_s
    for tries in range(_TRIES):
        left_s = ends - time.monotonic()
        wait_s = _FIRST_WAIT_S * 2**tries * random.uniform(0.75, 1.25)
        try:
            with _driver_errors_as_os_errors(location):
                return _from_url(location, start, count, left_s)
        except TimeoutError as error:
            host = urlsplit(location).netloc
            raise TimeoutError(f"no answer from {host} within {timeout_s:g} s") from error
        except OSError as error:
            last = tries == _TRIES - 1 or ends - time.monotonic() <= wait_s
            if last or not _may_pass(error):
                raise
        time.sleep(wait_s)
    raise AssertionError("the last try returns or raises")


def _scheme(url: str) -> str:
    """What opens a URL; of several, one within the other, the innermost."""
    return url.rpartition("::")[2].partition("://")[0].lower()


@contextmanager
def _driver_errors_as_os_errors(location: str) -> Iterator[None]:
    """Every driver has errors of its own, or is not installed."""
    try:
        yield
    except TimeoutError:
        raise
    except ImportError as error:
        driver = _DRIVERS.get(_scheme(location))
        if driver is None:
            raise OSError(str(error)) from error
        raise OSError(
            f"{_scheme(location)}:// needs {driver}, which is not installed: pip install {driver}"
        ) from error
    except Exception as error:
        if _is_unreachable(error):
            raise HostUnreachable(f"{urlsplit(location).netloc}: {error}") from error
        if isinstance(error, OSError):
            raise
        raise OSError(str(error) or type(error).__name__) from error


def _is_unreachable(error: Exception) -> bool:
    """A connection failed; whoever opens files at https:// has aiohttp, which says so its way."""
    names = {each.__name__ for each in type(error).__mro__}
    return isinstance(error, ConnectionError) or bool(
        names & {"ClientConnectorError", "ServerDisconnectedError", "EndpointConnectionError"}
    )


def _may_pass(error: OSError) -> bool:
    """Whether another try may succeed: a broken connection or answer, or a busy server."""
    cause: Any = error.__cause__ or error
    status = getattr(cause, "status", None)
    if status is not None:
        return status in _PASSING_STATUSES
    names = {each.__name__ for each in type(cause).__mro__}
    return isinstance(error, HostUnreachable) or bool(names & {"ClientError", "HTTPClientError"})


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
        span = {"start": start, "end": start + count}
        data = sync(filesystem.loop, filesystem._cat_file, path, timeout=timeout_s, **span)
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
