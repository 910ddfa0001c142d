"""What CONTRIBUTING.md names is there: paths, registries, modules, contracts, dependencies."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.paths import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
NEW = "NAME"  # stands for what somebody would add
ROOMS = ("app", "docker", "indexer", "models", "tests")

PATHS = sorted(
    {*re.findall(rf"`((?:{'|'.join(ROOMS)})/[^`\s]*|[\w.-]+\.(?:md|yml|toml|lock))`", PAGE)}
)
NAMED = sorted(
    {
        (name, path)
        for names, path in re.findall(r"((?:`\w+`(?:, | and )?)+),?\s+in\s+`([\w/]+\.py)`", PAGE)
        for name in re.findall(r"\w+", names.replace(" and ", " "))
    }
)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_there(path: str) -> None:
    named = Path(path)
    if NEW in path:
        named = next(parent for parent in named.parents if NEW not in parent.name)
    assert (ROOT / named).exists()


@pytest.mark.parametrize(("name", "path"), NAMED)
def test_a_name_is_defined_in_its_file(name: str, path: str) -> None:
    defined: set[str] = set()
    for statement in ast.parse((ROOT / path).read_text("utf-8")).body:
        match statement:
            case ast.FunctionDef() | ast.ClassDef():
                defined.add(statement.name)
            case ast.Assign():
                defined |= {each.id for each in statement.targets if isinstance(each, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=assigned)):
                defined.add(assigned)
    assert name in defined


def test_the_checklists_name_the_registries() -> None:
    registries = {"ARCHITECTURES", "TEMPLATES", "BENCHMARKS", "BenchmarkName", "open_reader"}
    assert registries <= {name for name, _ in NAMED}


def test_modules_and_contracts_are_there() -> None:
    modules = re.findall(r"python -m (tests[\w.]+)", PAGE)
    assert modules
    for module in modules:
        assert ROOT.joinpath(*module.split(".")).with_suffix(".py").exists(), module
    contracts = {contract["id"] for contract in PROJECT["tool"]["importlinter"]["contracts"]}
    named = set(re.findall(r"`(home-[\w-]+|models-[\w-]+)`", PAGE))
    assert named
    assert named <= contracts


def test_every_dependency_has_its_reason() -> None:
    project = PROJECT["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    needed = {Requirement(each).name for some in lists for each in some} - {project["name"]}
    table = PAGE.partition("\n## Dependencies\n")[2]
    rows = re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)[1:]  # less the head
    reasoned = {re.sub(r"\[.*\]", "", name) for row in rows for name in row.split(", ")}
    assert reasoned - {"---"} == needed
