"""Training: it runs, learns something, goes on after an interruption, and the result loads."""

import argparse
import json
from itertools import combinations, islice
from pathlib import Path

import pytest

from models.encoder import ImageTextEncoder
from models.settings import EncoderSettings
from models.training import demo_encoder as training
from models.training.pairs import batches, load_pairs
from tests.models.test_encoder import TINY


def options(manifest: Path, out: Path, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    training.add_arguments(parser)
    needed = ["--manifest", str(manifest), "--validation", str(manifest), "--out", str(out)]
    return parser.parse_args([*needed, "--batch-size", "16", "--limit", "48", *more])


@pytest.fixture
def untrained(tmp_path: Path) -> Path:
    (tmp_path / "open_clip_config.json").write_text(json.dumps(TINY))
    return tmp_path


def test_training_writes_weights_that_load(catalogue: Path, untrained: Path) -> None:
    training.train(options(catalogue, untrained, "--steps", "2"))
    encoder = ImageTextEncoder(EncoderSettings(model=f"local-dir:{untrained}"))
    assert encoder.embedding_dim == 16


def test_an_interrupted_run_goes_on(
    catalogue: Path, untrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training.train(options(catalogue, untrained, "--steps", "2"))
    training.train(options(catalogue, untrained, "--steps", "4"))
    assert "continuing after step 2" in capsys.readouterr().out


def test_grouped_batches_are_made_of_pictures_that_share_values(catalogue: Path) -> None:
    import torch

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
