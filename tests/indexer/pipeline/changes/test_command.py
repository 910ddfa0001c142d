"""`python -m indexer sync`, `add` and `remove`: what they print, exit with, and leave alone."""

from pathlib import Path

import pytest

from indexer.cli import main
from indexer.settings import IndexerSettings
from tests.indexer.pipeline.test_build import gallery_ids, save_all
from tests.indexer.test_cli import environment

HEAD = "image,attributes.colour,attributes.weight\n"


@pytest.fixture
def shop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[IndexerSettings, Path]:
    """A gallery of six, three of them red; its settings and manifest."""
    settings = environment(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    save_all(tmp_path / "in", 8)
    manifest = tmp_path / "in" / "shop.csv"
    write(manifest, range(6))
    assert main(["sync", "--manifest", str(manifest)]) == 0
    assert "there is no gallery yet; 6 images make one" in capsys.readouterr().out
    return settings, manifest


def write(manifest: Path, numbers: range) -> None:
    lines = [f"{n:03d}.png,{('red', 'blue')[n % 2]},{n}\n" for n in numbers]
    manifest.write_text(HEAD + "".join(lines))


def ids(*numbers: int) -> list[str]:
    return [f"{number:03d}.png" for number in numbers]


def test_sync_says_its_plan_then_does_it_and_then_has_nothing_to_do(
    shop: tuple[IndexerSettings, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    settings, manifest = shop
    write(manifest, range(1, 7))
    assert main(["sync", "--manifest", str(manifest), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "added: 1 (006.png)\nremoved: 1 (000.png)\n" in said
    assert said.endswith("nothing was written\n")
    assert gallery_ids(settings) == ids(0, 1, 2, 3, 4, 5)
    assert main(["sync", "--manifest", str(manifest)]) == 0
    assert "is in service: 6 images, 1 embedded, in " in capsys.readouterr().out
    assert gallery_ids(settings) == ids(1, 2, 3, 4, 5, 6)
    assert main(["sync", "--manifest", str(manifest)]) == 0
    assert "nothing to do: " in capsys.readouterr().out


def test_sync_refuses_to_remove_much_unless_it_is_told(
    shop: tuple[IndexerSettings, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    settings, manifest = shop
    write(manifest, range(4))
    command = ["sync", "--manifest", str(manifest)]
    assert main(command) == 1
    assert "2 of 6 images would be removed, more than 20%" in capsys.readouterr().err
    assert main([*command, "--max-removed", "a third"]) == 2
    assert "--max-removed is a percentage, like 20%; found 'a third'" in capsys.readouterr().err
    assert main([*command, "--max-removed", "34%"]) == 0
    assert gallery_ids(settings) == ids(0, 1, 2, 3)


def test_add_and_remove_name_only_what_changes(
    shop: tuple[IndexerSettings, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    settings, manifest = shop
    write(manifest, range(6, 8))
    assert main(["add", "--manifest", str(manifest)]) == 0
    assert gallery_ids(settings) == ids(*range(8))
    assert main(["remove", "--ids", "000.png", "nobody"]) == 0
    assert "not in the gallery: 1, such as nobody" in capsys.readouterr().out
    assert main(["remove", "--filter", '{"colour": "blue", "weight": {"lt": 6}}']) == 0
    assert gallery_ids(settings) == ids(2, 4, 6, 7)
    assert main(["remove", "--ids", "000.png"]) == 0
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--filter", "{}"], 2, "--filter is empty"),
        (["--filter", "colour=red"], 2, "--filter is not one that searches take"),
        (["--filter", '{"colour": "green"}'], 1, "no image has `colour` = 'green'"),
        (["--filter", '{"weight": {"gte": 0}}'], 1, "none of the 6 images would be left"),
        (["--ids"], 2, "say what goes: --ids or --filter"),
        ([], 2, "say what goes: --ids or --filter"),
        (["--ids", "a", "--filter", "{}"], 2, "exclude each other"),
    ],
)
def test_what_is_not_removed(
    shop: tuple[IndexerSettings, Path],
    arguments: list[str],
    code: int,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings, _ = shop
    assert main(["remove", *arguments]) == code
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said
    assert len(gallery_ids(settings)) == 6
