"""Files of a generation: written through to the disk, copied and summed without their holes.

The engine makes files far larger than what is in them; only what was ever written is read here.
"""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_BLOCK = 1 << 20  # bytes
_ZEROS = bytes(_BLOCK)
_SYNCS = 16  # at once: the disk makes one commit of them
_CLONE = 0x40049409  # Linux' FICLONE: a copy that shares its blocks until one of the two is written


def replace(path: Path, text: str) -> None:
    """All of a file in one step, through to the disk; raises `OSError`."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Write a file or a folder's entries through to the disk; raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(folder: Path) -> None:
    """Write a folder and all below it through to the disk; raises `OSError`."""
    with ThreadPoolExecutor(_SYNCS) as pool:
        list(pool.map(sync, [folder, *folder.rglob("*")]))


def digest(path: Path) -> str:
    """BLAKE2 of a file's size and of its blocks that are not zeros, hex; raises `OSError`.

    A hole and zeros that were written are the same: a copy elsewhere may have either.
    """
    summed = hashlib.blake2b()
    with path.open("rb") as file:
        for offset, block in _blocks(file.fileno()):
            summed.update(offset.to_bytes(8, "little"))
            summed.update(block)
        summed.update(os.fstat(file.fileno()).st_size.to_bytes(8, "little"))
    return summed.hexdigest()


def copy(source: str, target: str) -> str:
    """Copy a file for `shutil.copytree`, sharing its blocks where the file system can.

    Raises:
        OSError: There is no room, or it cannot be read or written.
    """
    with Path(source).open("rb") as read, Path(target).open("wb") as written:
        try:
            fcntl.ioctl(written, _CLONE, read.fileno())
            return target
        except OSError:
            pass  # most file systems cannot
        for offset, block in _blocks(read.fileno()):
            written.seek(offset)
            written.write(block)
        written.truncate(os.fstat(read.fileno()).st_size)
    return target


def size_bytes(folder: Path) -> int:
    """What a folder's files take on disk; those removed meanwhile are left out."""
    size = 0
    for parent, _, files in os.walk(folder):
        for file in files:
            try:
                size += os.stat(os.path.join(parent, file)).st_blocks * 512
            except FileNotFoundError:
                continue
    return size


def _blocks(descriptor: int) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of each block of a file that is not all zeros."""
    size, offset = os.fstat(descriptor).st_size, 0
    while offset < size:
        try:
            offset = os.lseek(descriptor, offset, os.SEEK_DATA) // _BLOCK * _BLOCK
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole to the end
                return
            raise
        block = os.pread(descriptor, _BLOCK, offset)
        if block != (_ZEROS if len(block) == _BLOCK else bytes(len(block))):
            yield offset, block
        offset += _BLOCK
