"""Model names → folders on this machine; what is not there is downloaded by the hub's own client.

Offline mode (`HF_HUB_OFFLINE`), mirrors (`HF_ENDPOINT`), tokens (`HF_TOKEN`) and the place of the
cache (`HF_HOME`) are settings of that client, which also resumes a download that was cut off. Here
its many errors become one, whose sentence says what to do.
"""

import errno
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)

from models.errors import JobError

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


class ModelUnavailable(JobError):
    """A model cannot be had; the sentence says what is missing and what to do."""


@dataclass(frozen=True)
class Download:
    """What loading a model would still have to download.

    Attributes:
        repository: Its name on the hub, `org/model`.
        missing_bytes: Size of the files that are not here; 0 if all are.
    """

    repository: str
    missing_bytes: int


def local_folder(source: str, what: str, patterns: Sequence[str]) -> Path:
    """The folder of a model, downloaded first if it is a hub name that is not in the cache.

    Args:
        source: A folder, or a hub name `org/model`.
        what: The model's part in this system, for the error ("the reranker's base").
        patterns: Files to download, as shell patterns.

    Raises:
        ModelUnavailable: It is neither, or cannot be downloaded.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    _check_repository(source, what)
    try:
        return Path(snapshot_download(source, allow_patterns=list(patterns)))
    except Exception as error:  # the client raises many kinds; all mean that it is not here
        raise _unavailable(what, source, error) from error


def cache_dir() -> Path:
    """The folder where the hub's client keeps downloads."""
    return Path(constants.HF_HUB_CACHE)


def pending_download(source: str, what: str, patterns: Sequence[str]) -> Download | None:
    """What `local_folder` would download; downloads nothing.

    Returns:
        None if the model is a folder.

    Raises:
        ModelUnavailable: It is neither a folder nor a hub name, or it is not here and the hub does
            not offer it.
    """
    if Path(source).expanduser().is_dir():
        return None
    _check_repository(source, what)
    try:
        snapshot_download(source, allow_patterns=list(patterns), local_files_only=True)
        return Download(source, 0)
    except (LocalEntryNotFoundError, OSError):
        pass
    try:
        files = snapshot_download(source, allow_patterns=list(patterns), dry_run=True)
    except Exception as error:  # see `local_folder`
        raise _unavailable(what, source, error) from error
    return Download(source, sum(file.file_size or 0 for file in files if file.will_download))


def explain_error(error: BaseException, repository: str) -> str:
    """Why a download failed and what to do, as the rest of a sentence.

    Args:
        error: What was raised; libraries wrap the hub's errors, so its causes are looked at too.
        repository: What was to be downloaded.
    """
    hub, causes = constants.ENDPOINT, list(_causes(error))

    def is_a(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if any(isinstance(c, OSError) and c.errno == errno.ENOSPC for c in causes):
        return f"the disk of {constants.HF_HUB_CACHE} is full; set HF_HOME to a larger one"
    if is_a(OfflineModeIsEnabled) or constants.HF_HUB_OFFLINE:
        return (
            f"HF_HUB_OFFLINE is set and it is not in the cache {constants.HF_HUB_CACHE}; unset "
            "that, or give the path of a folder that holds the model"
        )
    if is_a(GatedRepoError):
        return f"access is granted one by one; ask for it at {hub}/{repository}, then set HF_TOKEN"
    if is_a(RepositoryNotFoundError):
        return (
            f"{hub} has no model of that name that you may see; check the spelling, or set "
            "HF_TOKEN if it is private"
        )
    if is_a(RemoteEntryNotFoundError) or (is_a(EntryNotFoundError) and not _unreachable(causes)):
        return f"{hub}/{repository} lacks a file: {_first_line(causes, EntryNotFoundError)}"
    return (
        f"{hub} gives no usable answer ({_first_line(causes, Exception)}); check the network, set "
        "HF_ENDPOINT to a mirror, or give the path of a folder that holds the model"
    )


def _unavailable(what: str, source: str, error: Exception) -> ModelUnavailable:
    return ModelUnavailable(
        f"{what} {source!r} is not here and cannot be had: {explain_error(error, source)}"
    )


def _check_repository(source: str, what: str) -> None:
    if not _REPOSITORY.fullmatch(source):
        raise ModelUnavailable(
            f"{what} {source!r} is neither a folder here nor a hub name like `org/model`"
        )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _unreachable(causes: Sequence[BaseException]) -> bool:
    """The client reports a file that it can neither find here nor ask for as not found."""
    return any(isinstance(cause, LocalEntryNotFoundError) for cause in causes)


def _first_line(causes: Sequence[BaseException], kind: type[BaseException]) -> str:
    """The innermost error of a kind, which is nearest to the cause, in at most two lines."""
    innermost = [cause for cause in causes if isinstance(cause, kind)][-1]
    lines = [line.strip() for line in str(innermost).splitlines() if line.strip()]
    return " ".join(lines[:2]) or type(innermost).__name__
