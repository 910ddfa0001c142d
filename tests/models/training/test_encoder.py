"""Training: it runs, learns something, goes on after an interruption, and the result loads."""

import io
import json
from contextlib import redirect_stdout
from itertools import combinations, islice
from pathlib import Path

import pytest
import torch

from indexer.demo.catalogue import write_catalogue
from models.encoder.encoder import ImageTextEncoder
from models.settings import EncoderSettings
from models.training.__main__ import main
from models.training.encoder.pairs import batches, load_pairs
from tests.models.encoder.test_encoder import TINY, tiny_model


def demo_training(manifest: Path, out: Path, *more: str) -> list[str]:
    return [
        "demo-encoder", "--manifest", str(manifest), "--validation", str(manifest),
        "--out", str(out), "--batch-size", "16", "--limit", "48", *more,
    ]  # fmt: skip


@pytest.fixture
def untrained(tmp_path: Path) -> Path:
    (tmp_path / "open_clip_config.json").write_text(json.dumps(TINY))
    return tmp_path


def test_training_writes_weights_that_load(catalogue: Path, untrained: Path) -> None:
    assert main(demo_training(catalogue, untrained, "--steps", "2")) == 0
    encoder = ImageTextEncoder(EncoderSettings(model=f"local-dir:{untrained}"))
    assert encoder.embedding_dim == 16


def test_a_state_is_good_for_the_run_that_made_it_and_no_other(
    catalogue: Path, untrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def trained(*more: str) -> tuple[bytes, str]:
        assert main(demo_training(catalogue, untrained, "--steps", "2", *more)) == 0
        return (untrained / "open_clip_model.safetensors").read_bytes(), capsys.readouterr().out

    weights, said = trained()
    assert "continuing" not in said
    assert "continuing after step 2" in trained()[1]
    for change in (
        ("--steps", "3"),
        ("--learning-rate", "0.01"),
        ("--seed", "1"),
        ("--limit", "40"),
    ):
        others, said = trained(*change)
        assert "continuing" not in said
        assert "begins anew" in said
        assert others != weights, change


def fine_tuning(manifest: Path, base: str, out: Path, *more: str) -> list[str]:
    return [
        "encoder", "--manifest", str(manifest), "--out", str(out), "--base", base,
        "--batch-size", "16", "--validate-every", "2", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def captioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue whose captions the demo encoder has words, but no pictures, for."""
    return write_catalogue(
        tmp_path_factory.mktemp("finishes"), 200, seed=2, split="train", size_px=96, queries=0,
        finishes=True,
    )  # fmt: skip


def test_fine_tuning_makes_an_encoder_that_loads(captioned: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    assert main(fine_tuning(captioned, "demo", out, "--steps", "2", "--learning-rate", "1e-4")) == 0
    metrics = json.loads((out / "report" / "metrics.json").read_text())
    assert metrics["trained_on"] + metrics["among"] <= 200
    value, low, high = metrics["recall@1"]["before"]
    assert 0.3 < low <= value <= high  # the demo encoder knows all of it but the finishes
    assert "local-dir:" in (out / "README.md").read_text()
    mine = ImageTextEncoder(EncoderSettings(model=f"local-dir:{out}"))
    demo = ImageTextEncoder(EncoderSettings())
    assert mine.fingerprint != demo.fingerprint
    text = ["a glassy red sofa"]
    assert 0.5 < float((mine.encode_texts(text) @ demo.encode_texts(text).T)[0, 0]) < 0.99999


def test_fine_tuning_learns(captioned: Path, tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base").model
    command = fine_tuning(captioned, base, tmp_path / "mine", "--steps", "60")
    assert main([*command, "--learning-rate", "5e-3", "--validate-every", "60"]) == 0
    losses = json.loads((tmp_path / "mine" / "report" / "metrics.json").read_text())["losses"]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


class CutOff(io.StringIO):
    """A terminal whose user interrupts once a line tells of the validation after step 4."""

    def write(self, text: str) -> int:
        if "encoder 4: validation" in text:
            raise KeyboardInterrupt
        return super().write(text)


def losses_of(out: Path) -> list[float]:
    losses: list[float] = json.loads((out / "report" / "metrics.json").read_text())["losses"]
    return losses


def test_fine_tuning_that_was_cut_off_ends_where_it_would_have(
    captioned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tiny_model(tmp_path / "base").model
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert main(fine_tuning(captioned, base, whole, "--steps", "6")) == 0
    with redirect_stdout(CutOff()):
        assert main(fine_tuning(captioned, base, cut, "--steps", "6")) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert main(fine_tuning(captioned, base, cut, "--steps", "6")) == 0
    assert "continuing after step 2" in capsys.readouterr().out
    assert losses_of(cut) == pytest.approx(losses_of(whole), abs=1e-5)


def test_fine_tuning_repeated_with_other_settings_is_another_run(
    captioned: Path, tmp_path: Path
) -> None:
    base, out = tiny_model(tmp_path / "base").model, tmp_path / "mine"
    command = fine_tuning(captioned, base, out, "--steps", "2")
    assert main(command) == 0
    first = losses_of(out)
    for change in (("--learning-rate", "1e-2"), ("--seed", "1"), ("--batch-size", "12")):
        assert main([*command, *change]) == 0
        assert losses_of(out) != first, change
    assert main([*command, "--steps", "1"]) == 0
    assert len(losses_of(out)) == 1
    assert main(command) == 0
    assert losses_of(out) == first


def test_grouped_batches_are_made_of_pictures_that_share_values(catalogue: Path) -> None:
    pairs = load_pairs(catalogue, lambda texts: torch.zeros(len(texts), 4, dtype=torch.long), 16)

    def neighbours(rows: list[int]) -> float:
        """Share of a batch's pairs that have a colour and the setting in common."""
        common = [
            all(pairs.facets[facet][a] & pairs.facets[facet][b] for facet in ("colour", "setting"))
            for a, b in combinations(rows, 2)
        ]
        return sum(common) / len(common)

    mixed, grouped = batches(pairs, 64, (), 0), batches(pairs, 64, ("colour", "setting"), 0)
    for batch in islice(grouped, 20):
        assert len(set(batch.tolist())) == len(batch) <= 64
    shares = [
        sum(neighbours(batch.tolist()) for batch in islice(kind, 20)) / 20
        for kind in (grouped, mixed)
    ]
    assert shares[0] > 2 * shares[1]


def test_a_row_without_caption_is_named(catalogue: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"image": "x.jpg", "caption": "fine"}\n{"image": "y.jpg"}\n')
    with pytest.raises(ValueError, match="y.jpg has no `caption`"):
        load_pairs(bad, lambda texts: None, 16)  # type: ignore[arg-type,return-value]
