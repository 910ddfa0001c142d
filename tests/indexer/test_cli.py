"""`python -m indexer build`: what it prints, what it exits with, and what it leaves alone."""

import json
from pathlib import Path
from typing import get_args

import pytest

from indexer.cli import COMMANDS, main, read_options
from indexer.demo.options import DemoOptions
from indexer.evaluation.benchmarks import BENCHMARKS
from indexer.evaluation.options import BenchmarkName, EvaluateOptions
from indexer.gallery import open_writer
from indexer.gallery.settings import GalleryWriterSettings
from indexer.pipeline import command as build_command
from indexer.pipeline.options import BuildOptions
from indexer.settings import IndexerSettings
from models.contracts.gallery import GallerySpec
from tests.conftest import environment_of, indexer_settings
from tests.damage import contents
from tests.indexer.pipeline.test_build import gallery_ids, save_all
from tests.models.encoder.test_encoder import tiny_model

SPEC = GallerySpec(
    encoder_fingerprint="e", embedding_dim=8, preset="demo", rerank_px=448, thumbnail_px=256,
    built_at="2026-01-01T00:00:00Z",
)  # fmt: skip


def environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> IndexerSettings:
    """Settings of a build below `root`, and the variables that give them to the command."""
    settings = indexer_settings(root, encoder=tiny_model(root / "tiny"))
    assert settings.encoder is not None
    encoder = settings.encoder.model_dump(exclude_defaults=True)
    variables = {f"CIR_INDEXER__ENCODER__{name.upper()}": str(encoder[name]) for name in encoder}
    for name, value in (environment_of(settings.gallery) | variables).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CIR_INDEXER__IMAGE_STORE", str(settings.image_store))
    return settings


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A manifest of three pictures, with columns that are not called attributes."""
    save_all(tmp_path / "in", 3)
    manifest = tmp_path / "in" / "shop.csv"
    manifest.write_text(
        "image,product,colour,weight,attributes.setting\n"
        "000.png,sofa,red,7.5,snow\n001.png,mug,blue|white,.25,\n002.png,mug,,2,room\n"
    )
    return manifest


def test_a_second_process_on_the_embedded_folder_gets_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_all(tmp_path / "in", 2)
    settings = indexer_settings(tmp_path, gallery=GalleryWriterSettings(path=tmp_path / "qdrant"))
    holder = open_writer(settings.gallery)
    holder.open_generation(SPEC)
    monkeypatch.setenv("CIR_INDEXER__GALLERY__PATH", str(settings.gallery.path))
    assert main(["build", "--images", str(tmp_path / "in")]) == 1
    holder.close()
    said = capsys.readouterr().err
    assert "another process is writing to the embedded gallery" in said
    assert "Traceback" not in said


def test_if_none_builds_the_first_gallery_and_no_second(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = environment(tmp_path, monkeypatch)
    report = tmp_path / "report.json"
    command = ["build", "--if-none", "--report", str(report), "--images", str(tmp_path / "in")]
    save_all(tmp_path / "in", 2)
    assert main(command) == 0
    save_all(tmp_path / "in", 3)
    report.unlink()
    assert main(command) == 0
    assert "--if-none leaves it as it is" in capsys.readouterr().out
    assert len(gallery_ids(settings)) == 2
    assert not report.exists()


def test_bad_usage_is_a_sentence_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["build", "--images", str(tmp_path / "none")]) == 2
    assert "is not a folder" in capsys.readouterr().err
    monkeypatch.setenv("CIR_INDEXER__TYPO", "1")
    assert main(["build", "--images", str(tmp_path)]) == 2
    assert "unknown settings: CIR_INDEXER__TYPO" in capsys.readouterr().err


def test_columns_become_attributes_and_one_names_the_thing(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = environment(tmp_path, monkeypatch)
    report = tmp_path / "report.json"
    command = ["build", "--manifest", str(shop), "--report", str(report)]
    assert main(command) == 0
    line = "no attributes, so nothing is found by them: product, colour, weight"
    assert line in capsys.readouterr().out
    assert json.loads(report.read_text())["passed_through"] == ["product", "colour", "weight"]

    monkeypatch.setenv("CIR_INDEXER__NOUN_FACET", "colour")
    assert main([*command, "--attributes", "product,colour", "--noun", "product"]) == 0
    assert "nothing is found by them: weight" in capsys.readouterr().out
    spec, images = contents(settings.gallery)
    assert {facet.name: set(facet.values) for facet in spec.facets} == {
        "setting": {"snow", "room"},
        "product": {"mug", "sofa"},
        "colour": {"red", "blue", "white"},
    }
    assert spec.noun_facet == "product"
    by_id = {image.image_id: image for image in images}
    assert by_id["000.png"].payload == {"weight": "7.5"}
    assert by_id["001.png"].attributes == {"product": "mug", "colour": ["blue", "white"]}


def test_check_says_what_a_build_would_make_of_the_input_and_writes_nothing(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    command = ["build", "--check", "--manifest", str(shop)]
    assert main([*command, "--attributes", "all", "--noun", "product"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "3 images",
        "attributes:",
        "  setting: 2 values (snow, room); context",
        "  product: 2 values (mug, sofa); names the thing",
        "  colour: 3 values (red, blue, white)",
        "  weight: 3 values (7.5, .25, 2)",
    ]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "no attribute names the thing that is shown (--noun NAME)" in said
    assert "--attributes 'product,colour,weight' makes them attributes" in said

    assert main([*command, "--noun", "product"]) == 2
    assert "no image has the attribute product; there are: setting" in capsys.readouterr().err
    assert main([*command, "--attributes", "product,shade"]) == 2
    assert "no column `shade` to make an attribute of; there are: colour, product" in (
        capsys.readouterr().err
    )
    assert main(["build", "--check", "--images", str(shop.parent), "--attributes", "all"]) == 2
    assert "--attributes names columns of a manifest" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before

    (shop.parent / "000.png").unlink()
    assert main(command) == 0
    assert f"not there: {shop.parent / '000.png'}" in capsys.readouterr().out
    (shop.parent / "001.png").unlink()
    assert main(command) == 2
    assert "2 of 3 files are not there, the first is" in capsys.readouterr().err


def test_a_refused_build_says_what_it_skipped_and_writes_its_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(tmp_path, monkeypatch)
    save_all(tmp_path / "in", 1)
    for number in range(1, 9):
        (tmp_path / "in" / f"{number:03d}.png").write_bytes(b"no picture")
    report = tmp_path / "report.json"
    assert main(["build", "--images", str(tmp_path / "in"), "--report", str(report)]) == 1
    said = capsys.readouterr()
    assert "8 of 9 images could not be used, more than the limit of 50%" in said.err
    assert "skipped, not an image: 8\n  001.png: " in said.out
    assert "… and 3 more, see the report file" in said.out
    written = json.loads(report.read_text())
    assert "8 of 9 images could not be used" in written["refused"]
    assert len(written["skipped"]) == 8


@pytest.mark.parametrize(
    "defect", [ValueError("no such axis"), RuntimeError("shapes differ"), OSError("no device")]
)
def test_a_defect_of_the_program_keeps_its_stack_trace(
    defect: Exception, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    def broken(*_: object) -> list[str]:
        raise defect

    save_all(tmp_path / "in", 1)
    monkeypatch.setattr(build_command, "check", broken)
    assert main(["build", "--check", "--images", str(tmp_path / "in")]) == 1
    assert "please report it" in capsys.readouterr().err
    assert "Traceback" in caplog.text
    assert str(defect) in caplog.text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Missing command."),
        (["bild"], "No such command 'bild'."),
        (["demo"], "Missing option '--out'."),
        (["demo", "--out", "o", "--split", "none"], "'none' is not one of 'train', 'validation'"),
        (["build"], "say where the images are: --images or --manifest"),
        (["build", "--images", "a", "--manifest", "b"], "--images and --manifest exclude"),
        (["evaluate", "--benchmark", "imagenet"], "'imagenet' is not one of 'demo', 'attributes'"),
        (["evaluate", "--benchmark", "demo", "--compositions", "best"], "'best' is not one of"),
        (["evaluate", "--benchmark", "demo", "--compositions"], "'' is not one of 'image'"),
        (["evaluate", "--benchmark", "demo", "--rerank", "deep"], "for '--rerank'"),
        (
            ["evaluate", "--benchmark", "demo", "--tune", "t", "--predictions", "p"],
            "--predictions and --tune exclude each other",
        ),
    ],
)
def test_wrong_flags_are_a_sentence_and_exit_code_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert sentence in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_says_the_exit_codes(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Usage: python -m indexer" in said
    assert "exit codes: 0 done, 1 the job failed, 2 wrong usage or input, 130 interrupted" in said


def test_flags_and_their_defaults() -> None:
    assert read_options(["demo", "--out", "o"]) == DemoOptions(out=Path("o"))
    assert read_options(["demo", "--out", "o", "--no-families", "--finishes"]) == DemoOptions(
        out=Path("o"), families=False, finishes=True
    )
    build = read_options(["build", "--manifest", "m", "--attributes", "a,b", "--if-none"])
    assert build == BuildOptions(manifest="m", attributes="a,b", if_none=True)
    assert isinstance(build, BuildOptions)
    assert build.as_attributes == ("a", "b")
    assert build.report == Path("data/build-report.json")
    evaluate = read_options(["evaluate", "--benchmark", "circo", "--gallery", "i", "m.jsonl"])
    assert evaluate == EvaluateOptions(
        benchmark="circo",
        compositions=["image", "text", "union", "facets", "mllm"],
        rerank=[0, 10, 50],
        attribute_check=["demote"],
        families=[],
        gallery=(Path("i"), Path("m.jsonl")),
    )
    evaluate = read_options(
        ["evaluate", "--compositions", "text", "union", "--rerank", "0", "5", "--benchmark", "demo"]
    )
    assert isinstance(evaluate, EvaluateOptions)
    assert (evaluate.compositions, evaluate.rerank) == (["text", "union"], [0, 5])
    evaluate = read_options(
        ["evaluate", "--benchmark", "demo", "--attribute-check", "demote", "off"]
        + ["--families", "own words", "negation"]
    )
    assert isinstance(evaluate, EvaluateOptions)
    assert evaluate.attribute_check == ["demote", "off"]
    assert evaluate.families == ["own words", "negation"]


def test_every_published_benchmark_can_be_named() -> None:
    assert get_args(BenchmarkName) == ("demo", "attributes", *BENCHMARKS)


def test_sentences_have_no_stack_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    save_all(tmp_path / "in", 1)
    for name, value, code, sentence in (
        ("PRESET", "none", 2, "unknown preset 'none'"),
        ("PRESET", str(tmp_path / "no.json"), 2, "there is no preset file"),
        ("DECODE_WORKERS", "many", 2, "CIR_INDEXER__DECODE_WORKERS: Input should be"),
        ("ENCODER__MODEL", "ViT-Z-99", 1, "ViT-Z-99"),
        ("ENCODER__DEVICE", "mps", 1, "PyTorch finds none"),
    ):
        with monkeypatch.context() as patch:
            environment(tmp_path, patch)
            patch.setenv(f"CIR_INDEXER__{name}", value)
            assert main(["build", "--images", str(tmp_path / "in")]) == code
            assert sentence in capsys.readouterr().err
    demo = ["demo", "--out", str(tmp_path / "out"), "--images"]
    assert main([*demo, "0"]) == 2
    assert main([*demo, "1", "--size", "0"]) == 2
    assert "Traceback" not in caplog.text
