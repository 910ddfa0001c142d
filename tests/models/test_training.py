"""Training: it runs, learns something, goes on after an interruption, and the result loads."""

import argparse
import json
from pathlib import Path

import pytest

from models.encoder import ImageTextEncoder
from models.settings import EncoderSettings
from models.training import encoder as training
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


def test_grouped_batches_share_a_value_of_each_facet(catalogue: Path) -> None:
    import torch

    pairs = load_pairs(catalogue, lambda texts: torch.zeros(len(texts), 4, dtype=torch.long), 16)
    picked = batches(pairs, 8, ("colour", "setting"), seed=0)
    for _ in range(20):
        rows = next(picked).tolist()
        assert len(set(rows)) == len(rows) <= 8
        for facet in ("colour", "setting"):
            assert frozenset.intersection(*(pairs.facets[facet][row] for row in rows))


def test_a_row_without_caption_is_named(catalogue: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"image": "x.jpg", "caption": "fine"}\n{"image": "y.jpg"}\n')
    with pytest.raises(ValueError, match="line 2"):
        load_pairs(bad, lambda texts: None, 16)  # type: ignore[arg-type,return-value]
