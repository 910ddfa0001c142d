"""The workflow runs the commands that everybody runs, on the Qdrant that everybody gets."""

import re

import yaml

from tests.containers.description import SERVICES
from tests.paths import ROOT

WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))


def test_every_step_is_a_target_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    steps = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
    called = [step["run"].split()[1] for step in steps if step.get("run", "").startswith("make ")]
    assert {"check", "test", "images", "smoke"} <= set(called)
    for target in called:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_qdrant_is_the_one_of_the_compose_file() -> None:
    assert WORKFLOW["jobs"]["test"]["services"]["qdrant"]["image"] == SERVICES["qdrant"]["image"]


def test_both_of_qdrants_ports_are_reached() -> None:
    published = WORKFLOW["jobs"]["test"]["services"]["qdrant"]["ports"]
    assert published == ["6333:6333", "6334:6334"]
