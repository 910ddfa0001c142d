"""Rules that no import linter sees: what loading a module costs, what the README must say."""

import ast
import itertools
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.paths import ROOT

OURS = {"app", "indexer", "models"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("models.contracts.gallery", ["torch", "numpy", "qdrant_client", "PIL"]),
        ("models.query.composition", ["torch", "open_clip"]),
        ("indexer.cli", ["torch", "open_clip", "fastapi", "httpx", "matplotlib"]),
        ("models.contracts.rerank", ["torch", "numpy", "fastapi"]),
        (
            "app.api.main",
            ["peft", "models.training", "indexer.pipeline", "indexer.demo", "qdrant_client"],
        ),
    ],
)
def test_importing_a_module_does_not_load_what_it_must_not_know(
    module: str, absent: list[str]
) -> None:
    code = f"import sys, {module}; print([m for m in {absent!r} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert run.stdout.strip() == "[]"


def installed_with(extra: str) -> set[str]:
    """Every distribution that comes with an extra of this project."""
    seen: set[tuple[str, str]] = set()
    open_ = [("composed-image-retrieval", extra)]
    while open_:
        pair = open_.pop()
        if pair in seen:
            continue
        seen.add(pair)
        try:
            requires = metadata.requires(pair[0]) or []
        except metadata.PackageNotFoundError:
            continue  # for another platform
        for needed in map(Requirement, requires):
            if needed.marker is None or needed.marker.evaluate({"extra": pair[1]}):
                name = canonicalize_name(needed.name)
                open_ += [(name, each) for each in ("", *needed.extras)]
    return {name for name, _ in seen}


@pytest.mark.parametrize(
    ("extra", "modules"),
    [
        ("api", "app.api.main"),
        ("worker", "app.worker.main"),
        (
            "indexer",
            "indexer.pipeline.build, indexer.gallery.server.writer, indexer.gallery.edge.writer, "
            "indexer.demo.catalogue",
        ),
    ],
)
def test_a_process_imports_nothing_that_its_extra_does_not_install(
    extra: str, modules: str
) -> None:
    """Here everything is installed; in its image only the extra is. Looked at is our own code:
    libraries take what they find.
    """
    run = subprocess.run(
        [sys.executable, "-c", f"import sys, {modules}; print(*sys.modules)"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    ours = [name for name in run.stdout.split() if name.split(".")[0] in OURS]
    owners, installed = metadata.packages_distributions(), installed_with(extra)
    for name in ours:
        for imported in imported_by(name):
            found = {canonicalize_name(owner) for owner in owners.get(imported, [])}
            assert imported in OURS or not found or found & installed, f"{name}: {imported}"


@pytest.mark.parametrize("extra", ["indexer", "train"])
def test_images_at_https_can_be_read_with_what_an_extra_installs(extra: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = map(Requirement, project["optional-dependencies"][extra])
    assert any("http" in each.extras for each in needed if each.name == "fsspec")


def imported_by(module: str) -> set[str]:
    """The packages that a module of ours imports when it is loaded."""
    path = ROOT.joinpath(*module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    names: set[str] = set()
    for statement in ast.parse(source.read_text("utf-8")).body:
        if isinstance(statement, ast.Import):
            names |= {alias.name.split(".")[0] for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom):
            names.add(str(statement.module).split(".")[0])
    return names


MAX_CHILDREN, MAX_LINES = 12, 400
# what may lie beside a folder's modules without making it harder to read
NOT_COUNTED = {"__init__.py", "__pycache__", "README.md"}
DATA = {"models/presets"}  # a folder for each preset
CROWDED = {
    "models": "rooms of its own kind (encoder, reranker, …) and small modules that all rooms use",
}
OLD_WORDS = re.compile(
    r"lesson|tutor|\bwish(es)?\b|hungry|linger|harmless|\bexam\b|judging|verdict|\bjudge", re.I
)
OLD_WORDS_ARE_READ = {
    "app/api/settings.py": "old names of settings",
    "app/worker/settings.py": "old names of settings",
    "models/presets/__init__.py": "old keys of presets",
    "models/reranker/adapter_card.py": "the old name of the card's file",
    "app/api/adapters/vllm_protocol.py": "a prompt that models know",
    "models/reranker/prompts.py": "prompts that models were trained with",
}


def modules() -> Iterator[Path]:
    for root in sorted(OURS):
        yield from (ROOT / root).rglob("*.py")


def test_a_folder_can_be_taken_in_at_a_glance() -> None:
    children: dict[str, set[str]] = defaultdict(set)
    for path in modules():
        inside = path.relative_to(ROOT)
        for child, folder in itertools.pairwise([inside, *inside.parents]):
            children[folder.as_posix()].add(child.name)
    crowded = {
        folder: len(names - NOT_COUNTED)
        for folder, names in children.items()
        if len(names - NOT_COUNTED) > MAX_CHILDREN and folder not in DATA
    }
    assert crowded.keys() <= CROWDED.keys(), crowded


def test_no_module_is_long() -> None:
    lines = {
        path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines())
        for path in modules()
    }
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


def test_words_that_were_replaced_stand_only_where_old_names_are_read() -> None:
    found = {
        f"{name}: {line.strip()}"
        for path in modules()
        if (name := path.relative_to(ROOT).as_posix()) not in OLD_WORDS_ARE_READ
        for line in path.read_text("utf-8").splitlines()
        if OLD_WORDS.search(line)
    }
    assert found == set()
