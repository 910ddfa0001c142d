"""Which processes are installed here, and whether their packages are the ones that were tested."""

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app.doctor.report import Finding

_PROJECT = "composed-image-retrieval"
_ROLES = ("api", "worker", "indexer")
_FOLDER = Path(__file__).parents[2]
_LOCK = _FOLDER / "requirements.lock"


def installed_roles() -> frozenset[str]:
    """Which of `api`, `worker` and `indexer` have all their packages here."""
    return frozenset(role for role in _ROLES if not _absent(role))


def check_packages() -> Iterator[Finding]:
    """Report every process, and versions that are not as pinned or locked."""
    roles = installed_roles()
    for role in _ROLES:
        if role in roles:
            yield Finding("packages", "ok", f"{role}: installed")
        else:
            absent = ", ".join(_absent(role))
            yield Finding(
                "packages", "ok", f"{role}: not installed here ({absent} missing)",
                f"if it should run here: {_pip(role)}",
            )  # fmt: skip
    if not roles:
        yield Finding(
            "packages", "error", "neither API, worker nor indexer is installed",
            _pip("api,worker,indexer"),
        )  # fmt: skip
    yield from _unpinned(roles)
    yield from _unlocked()


def _unpinned(roles: frozenset[str]) -> Iterator[Finding]:
    wrong = {
        f"{needed.name} is {version}, pinned is {needed.specifier}"
        for role in roles
        for needed in _requirements(role)
        if (version := _version(needed.name)) and not needed.specifier.contains(version, True)
    }
    for sentence in sorted(wrong):
        yield Finding("packages", "error", sentence, "make setup, or pip install with the pins")


def _unlocked() -> Iterator[Finding]:
    """Compare with the lock, which only a source checkout has."""
    if not _LOCK.is_file():
        return
    differing = []
    for line in _LOCK.read_text("utf-8").splitlines():
        locked = Requirement(line) if line.strip() and not line.startswith("#") else None
        if locked is None or (locked.marker is not None and not locked.marker.evaluate()):
            continue
        version = _version(locked.name)
        if version is not None and not locked.specifier.contains(version, True):
            differing.append(f"{locked.name} {version} ({locked.specifier})")
    if differing:
        yield Finding(
            "packages", "warn", f"differs from requirements.lock: {', '.join(differing)}",
            "make setup installs what was tested",
        )  # fmt: skip
    else:
        yield Finding("packages", "ok", "versions as in requirements.lock")


def _pip(extras: str) -> str:
    """No index has this project: it is installed from its folder."""
    return f"python -m pip install -e '{_FOLDER}[{extras}]'"


def _absent(role: str) -> list[str]:
    return sorted(need.name for need in _requirements(role) if _version(need.name) is None)


def _requirements(extra: str) -> list[Requirement]:
    """What an extra needs by its own name, following extras of this project that it names."""
    found = []
    for line in metadata.requires(_PROJECT) or []:
        needed = Requirement(line)
        if needed.marker is None or not needed.marker.evaluate({"extra": extra}):
            continue
        if needed.marker.evaluate({"extra": ""}):
            continue  # a dependency of all extras
        if canonicalize_name(needed.name) == _PROJECT:
            found += [inner for name in needed.extras for inner in _requirements(name)]
        else:
            found.append(needed)
    return found


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
