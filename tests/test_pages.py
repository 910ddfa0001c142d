"""What the repository's pages promise: links lead somewhere, commands can be typed."""

import re
from itertools import chain
from pathlib import Path

import pytest

from tests.paths import ROOT

ROOMS = ("app", "docker", "indexer", "models", "tests")
PAGES = [*ROOT.glob("*.md"), *chain.from_iterable((ROOT / room).rglob("*.md") for room in ROOMS)]


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_stand_below_the_activation_of_their_environment(page: Path) -> None:
    blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", page.read_text("utf-8"), re.M | re.S))
    before, command, _ = blocks.partition("python -m ")
    assert not command or "source .venv/bin/activate" in before


def test_the_first_page_is_one_page() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150
