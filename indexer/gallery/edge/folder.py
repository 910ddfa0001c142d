"""The embedded gallery's folder: which generation is in service, and who may touch which.

    <path>/<alias>/current          the name of the generation in service
    <path>/<alias>/lock             held by the one process that writes
    <path>/<alias>/<generation>/    spec.json (sealed: it is never changed again), images.sqlite,
                                    lock (shared by its readers), shard/,
                                    replaced (it is not in service any more)

`current` is replaced in one step. A generation is removed by the writer, when no process reads it.
Locks are the kernel's (`flock`), so they end with their process.
"""

import fcntl
import json
import os
import re
import secrets
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from indexer.gallery.edge import files
from indexer.gallery.settings import GallerySettings
from models.contracts.gallery import GallerySpec
from models.settings import sentences

_FORMAT = 2  # of this layout
_NAME = re.compile(r"(?P<encoder>.+)__\d{8}T\d{12}-[0-9a-f]{6}")
_REMOVED = ".removed"  # is being removed, or copied
_SPEC_OF_BUILD, _SUMS = "build.json", "sums.json"


class Unreadable(RuntimeError):
    """A file of the gallery cannot be used; the message is a sentence that says what to do."""


class Folder:
    """One gallery's folder; it makes nothing until it is written to."""

    def __init__(self, settings: GallerySettings) -> None:
        self._path, self._root = settings.path, settings.path / settings.alias

    def current(self) -> str | None:
        """The name of the generation in service; None: there is none.

        Raises:
            OSError: The folder cannot be read.
            Unreadable: The pointer is damaged.
        """
        try:
            name = (self._root / "current").read_bytes().decode("utf-8", "replace").strip()
        except FileNotFoundError:
            return None
        except NotADirectoryError as error:
            raise self.unusable(f"{error.filename} is no folder") from error
        if not _NAME.fullmatch(name):
            raise self.damaged(f"`current` names no generation: {name[:80]!r}")
        return name

    def is_of_earlier_version(self) -> bool:
        """Whether qdrant-client's local mode kept a gallery here."""
        return (self._path / "meta.json").is_file()

    def generation(self, name: str) -> Path:
        """The folder of a generation."""
        return self._root / name

    def shard(self, name: str) -> Path:
        """The folder of a generation's shard."""
        return self._root / name / "shard"

    def records(self, name: str) -> Path:
        """The file of a generation's records."""
        return self._root / name / "images.sqlite"

    def spec(self, name: str, *, of_build: bool = False) -> GallerySpec:
        """The metadata of a sealed generation, or of an unfinished one as it was begun.

        Raises:
            FileNotFoundError: It is not there, or not sealed.
            Unreadable: It is damaged, or of another version.
        """
        file = self._root / name / "spec.json"
        if of_build:
            file = file.with_name(_SPEC_OF_BUILD)
        try:
            stored = json.loads(file.read_bytes())
            written, spec = stored["format"], stored["spec"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise self.damaged(f"spec.json: {type(error).__name__}: {error}"[:200]) from error
        if written != _FORMAT:
            raise Unreadable(
                f"the embedded gallery in {self._path} has format {written}, and this version "
                f"reads {_FORMAT}; build it again"
            )
        try:
            return GallerySpec.model_validate(spec)
        except ValidationError as error:
            reason = next(sentences(error, lambda at: ".".join(map(str, at))))
            raise Unreadable(
                f"the gallery holds what this version does not store ({reason}); build it again"
            ) from error

    def generations(self) -> list[str]:
        """The names of all generations, the oldest first."""
        if not self._root.is_dir():
            return []
        names = [each.name for each in self._root.iterdir() if _NAME.fullmatch(each.name)]
        return sorted(names, key=lambda name: name.rpartition("__")[2])

    def is_sealed(self, name: str) -> bool:
        """Whether a generation is complete, and never changed again."""
        return (self._root / name / "spec.json").exists()

    def is_replaced(self, name: str) -> bool:
        """Whether a generation was in service once and stays for its readers alone."""
        return (self._root / name / "replaced").exists()

    def lock_for_writing(self) -> int | None:
        """Make the folder, and be its only writer; the lock to close, None: another is.

        Raises:
            OSError: The folder cannot be made or written.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        return _lock(self._root / "lock", fcntl.LOCK_EX, create=True)

    def lock_for_reading(self, name: str) -> int | None:
        """Keep a generation from being removed; the lock to close, None: it is being removed.

        Raises:
            FileNotFoundError: It is not there.
        """
        return _lock(self._root / name / "lock", fcntl.LOCK_SH, create=False)

    def begin(self, encoder: str) -> str:
        """Make the folder of a new generation; its name was never used before."""
        name = _new_name(encoder)
        (self._root / name / "shard").mkdir(parents=True)
        (self._root / name / "lock").touch()
        return name

    def reopen(self, name: str) -> str | None:
        """Unseal a generation that is not in service, under a new name; None: somebody reads it."""
        lock = _lock(self._root / name / "lock", fcntl.LOCK_EX, create=True)
        if lock is None:
            return None
        try:
            renamed = _new_name(encoder_of(name))
            os.rename(self._root / name, self._root / renamed)
            (self._root / renamed / "spec.json").unlink()
            return renamed
        finally:
            os.close(lock)

    def seal(self, name: str, spec: GallerySpec) -> None:
        """Write a generation and its spec through to the disk; raises `OSError`."""
        folder = self._root / name
        (folder / _SUMS).write_text(json.dumps(_sums(folder)))
        files.sync_all(folder)
        files.replace(folder / "spec.json", _as_text(spec))

    def write_spec_of_build(self, name: str, spec: GallerySpec) -> None:
        """Say what an unfinished generation is to be; raises `OSError`."""
        files.replace(self._root / name / _SPEC_OF_BUILD, _as_text(spec))

    def changed_files(self, name: str) -> list[str]:
        """What is not as it was when a generation was sealed, a sentence for each file.

        Raises:
            OSError: A file cannot be read.
        """
        folder = self._root / name
        try:
            sealed = json.loads((folder / _SUMS).read_bytes())
        except (OSError, ValueError) as error:
            return [f"{_SUMS} cannot be read: {error}"]
        found = _sums(folder)
        return [
            f"{file} of {name} is {'damaged' if file in found else 'gone'}"
            for file, digest in sealed.items()
            if found.get(file) != digest
        ]

    def size_bytes(self, name: str) -> int:
        """What a generation takes on disk, its holes left out."""
        return files.size_bytes(self._root / name)

    def copy(self, name: str) -> str:
        """Begin a generation as a copy of a sealed one; its name.

        Raises:
            OSError: There is no room, or it cannot be written.
        """
        made = _new_name(encoder_of(name))
        partial = self._root / (made + _REMOVED)
        own = shutil.ignore_patterns("spec.json", "replaced", _SUMS, _SPEC_OF_BUILD)
        shutil.copytree(self._root / name, partial, ignore=own, copy_function=files.copy)
        os.rename(partial, self._root / made)
        return made

    def put_in_service(self, name: str, replaced: str | None) -> None:
        """Name a sealed generation in `current`, in one step, and mark the one it replaces.

        Raises:
            OSError: It cannot be written.
        """
        files.sync(self._root)
        files.replace(self._root / "current", name + "\n")
        if replaced is not None:
            with suppress(FileNotFoundError):
                (self._root / replaced / "replaced").touch()

    def remove(self, name: str) -> bool:
        """Remove a generation unless some process reads it; whether it is gone."""
        try:
            lock = _lock(self._root / name / "lock", fcntl.LOCK_EX, create=True)
        except FileNotFoundError:
            return True
        if lock is None:
            return False
        try:
            removed = self._root / (name + _REMOVED)
            os.rename(self._root / name, removed)
        finally:
            os.close(lock)
        shutil.rmtree(removed, ignore_errors=True)
        return True

    def sweep(self) -> None:
        """Finish removals that were cut short."""
        for rest in self._root.glob(f"*{_REMOVED}"):
            shutil.rmtree(rest, ignore_errors=True)

    def damaged(self, reason: str) -> Unreadable:
        """That the gallery cannot be read, as a sentence."""
        return Unreadable(
            f"the embedded gallery in {self._path} is damaged ({reason}); build it again: prepared "
            "copies are reused; or put a backup of the folder in its place"
        )

    def unusable(self, reason: object) -> Unreadable:
        """That the folder cannot be used, as a sentence."""
        return Unreadable(f"the embedded gallery in {self._path} cannot be opened: {reason}")


def encoder_of(name: str) -> str:
    """The fingerprint of the encoder that a generation was built with."""
    return name.rpartition("__")[0]


def _as_text(spec: GallerySpec) -> str:
    stored = {"format": _FORMAT, "spec": spec.model_dump(mode="json")}
    return json.dumps(stored, ensure_ascii=False, indent=1)


def _sums(folder: Path) -> dict[str, str]:
    """The digest of every file that a sealed generation consists of, by its path."""
    paths = [folder / "images.sqlite", *(folder / "shard").rglob("*")]
    return {str(path.relative_to(folder)): files.digest(path) for path in paths if path.is_file()}


def _new_name(encoder: str) -> str:
    return f"{encoder}__{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(3)}"


def _lock(path: Path, kind: int, *, create: bool) -> int | None:
    """A descriptor that holds a lock until it is closed; None: others hold it."""
    flags = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
