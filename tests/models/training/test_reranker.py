"""An adapter of one's own: prompted as in service, trained, cut off, resumed, served."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from indexer.demo.catalogue import write_catalogue
from models.contracts.intent import Intent
from models.datasets.manifest import ImageRow, read_manifest
from models.reranker.architectures.base import EncoderOutput
from models.reranker.reranker import Reranker
from models.settings import PRESETS, RerankerSettings
from models.training.__main__ import main
from models.training.packing import collate
from models.training.reranker import evaluation
from models.training.reranker.examples import RerankExample
from models.training.reranker.features import FeatureFile, extract_features
from models.training.reranker.lora import UnfitBase, adapt, load_base, lora_targets
from models.training.reranker.negatives import Candidate
from models.training.reranker.trainer import (
    ANSWER,
    PROMPT,
    AdapterTrainer,
    TuningSettings,
    answer_logits,
    row_writer,
)
from tests.models.rerankers import shrunken

DEMO = PRESETS / "demo" / "reranker"
CPU = torch.device("cpu")
SETTINGS = TuningSettings(
    steps=4, queries=2, accumulate=1, learning_rate=1e-3, rank=4, dropout=0.1, intent_weight=0.3,
    gradient_checkpointing=False, validate_every=2, seed=0,
)  # fmt: skip
EXAMPLES = [
    RerankExample(
        "training", "change colour", ("colour",), reference, "this, but blue",
        Intent(target="a blue sofa", desired=("blue",), forbidden=("red",)),
        (Candidate(1, True, "right"), Candidate(2, False, "random"), Candidate(3, False, "random")),
    )
    for reference in (0, 4, 5)
]  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[ImageRow]:
    """Six pictures, tall, wide and square."""
    folder = tmp_path_factory.mktemp("pictures")
    sizes = [(128, 128), (96, 160), (200, 100), (128, 128), (64, 256), (150, 150)]
    made = []
    for number, (width, height) in enumerate(sizes):
        picture = Image.effect_noise((width, height), 60 + 30 * number).convert("RGB")
        picture.save(folder / f"{number}.png")
        made.append(ImageRow(str(number), str(folder / f"{number}.png")))
    return made


@pytest.fixture(scope="module")
def loaded() -> evaluation.LoadedReranker:
    return evaluation.load(RerankerSettings())


@pytest.fixture(scope="module")
def feature_file(
    rows: list[ImageRow],
    loaded: evaluation.LoadedReranker,
    tmp_path_factory: pytest.TempPathFactory,
) -> FeatureFile:
    return extract_features(
        loaded.reranker, rows, tmp_path_factory.mktemp("seen"), "the demo tower"
    )


def test_features_of_a_replaced_picture_are_computed_again(
    loaded: evaluation.LoadedReranker, tmp_path: Path
) -> None:
    row = ImageRow("one", str(tmp_path / "one.png"))
    files = []
    for size in ((128, 128), (128, 128), (64, 256)):
        Image.new("RGB", size, "red").save(row.location)
        files.append(extract_features(loaded.reranker, [row], tmp_path, "the demo tower"))
    assert files[0].name == files[1].name != files[2].name
    assert files[0].grid(row.location) == files[1].grid(row.location) != files[2].grid(row.location)


def locations(rows: list[ImageRow]) -> dict[str, dict[int, str]]:
    return {"training": {number: row.location for number, row in enumerate(rows)}}


def training_scores(
    model: Any, processor: Any, feature_file: FeatureFile, rows: list[ImageRow]
) -> list[float]:
    """σ(z_yes − z_no) of the first example's candidates, as training sees them: packed."""
    writer = row_writer(model, processor, feature_file)
    packed = [
        writer.write(one, locations(rows)["training"], shows_target=True, asks_intent=asks)
        for one, asks in ((EXAMPLES[0], True), (EXAMPLES[1], False))  # the second to pad against
    ]
    with torch.inference_mode():
        logits, _, kinds = answer_logits(model, collate(packed), feature_file)
    (yes,), (no,) = (
        processor.tokenizer(word, add_special_tokens=False)["input_ids"]
        for word in (PROMPT.yes, PROMPT.no)
    )
    relevance = logits[kinds == ANSWER][:3]
    scores: list[float] = (relevance[:, yes] - relevance[:, no]).sigmoid().tolist()
    return scores


def serving_scores(reranker: Reranker, rows: list[ImageRow]) -> list[float]:
    """The same as the service asks."""
    pictures = [reranker.prepare(Image.open(row.location)) for row in rows]
    prefix = reranker.prefill(pictures[EXAMPLES[0].reference], EXAMPLES[0].text)
    shown = reranker.features([pictures[c.picture] for c in EXAMPLES[0].candidates])
    return reranker.score(reranker.with_target(prefix, EXAMPLES[0].intent.target), shown)


def test_training_and_serving_score_alike(
    rows: list[ImageRow], loaded: evaluation.LoadedReranker, feature_file: FeatureFile
) -> None:
    """Base and adapter apart and packed, or merged and with a cached prefix: the same scores."""
    model, processor = load_base(DEMO / "base", CPU, torch.float32)
    adapt(model, rank=0, dropout=0, seed=0, start=DEMO / "adapter")
    in_training = training_scores(model.eval(), processor, feature_file, rows)
    # visual features are kept in half precision for training
    assert in_training == pytest.approx(serving_scores(loaded.reranker, rows), abs=5e-3)


@pytest.mark.parametrize("family", ["Qwen3-VL", "Qwen2.5-VL"])
def test_pictures_of_any_shape_are_packed_as_their_family_has_it(
    family: str, rows: list[ImageRow], tmp_path: Path
) -> None:
    reranker = shrunken(family)
    feature_file = extract_features(reranker, rows, tmp_path, family)
    assert len({feature_file.grid(row.location) for row in rows}) > 2
    loaded = reranker._loaded
    in_training = training_scores(loaded.model, loaded.processor, feature_file, rows)
    assert in_training == pytest.approx(serving_scores(reranker, rows), abs=1e-2)


class CutOff:
    """Features that a kill comes between, after so many batches."""

    def __init__(self, feature_file: FeatureFile, batches: int) -> None:
        self._feature_file, self._left = feature_file, batches

    def encoder_output(self, *arguments: Any) -> EncoderOutput:
        if self._left == 0:
            raise KeyboardInterrupt
        self._left -= 1
        return self._feature_file.encoder_output(*arguments)


def trained_weights(
    feature_file: Any,
    whole: FeatureFile,
    rows: list[ImageRow],
    checkpoint: Path,
    settings: TuningSettings,
) -> dict[str, torch.Tensor]:
    model, processor = load_base(DEMO / "base", CPU, torch.float32)
    adapt(model, rank=4, dropout=settings.dropout, seed=0, start=None)
    writer = row_writer(model, processor, whole)
    AdapterTrainer(model, writer, feature_file, locations(rows), settings).train(
        EXAMPLES, EXAMPLES[:1], checkpoint
    )
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


def test_a_run_that_was_cut_off_ends_where_it_would_have(
    rows: list[ImageRow], feature_file: FeatureFile, tmp_path: Path
) -> None:
    whole = trained_weights(feature_file, feature_file, rows, tmp_path / "whole.pt", SETTINGS)
    with pytest.raises(KeyboardInterrupt):  # after two steps, a validation, and a third step
        trained_weights(CutOff(feature_file, 4), feature_file, rows, tmp_path / "cut.pt", SETTINGS)
    assert torch.load(tmp_path / "cut.pt", weights_only=True)["step"] == 2
    resumed = trained_weights(feature_file, feature_file, rows, tmp_path / "cut.pt", SETTINGS)
    assert whole.keys() == resumed.keys()
    for name, weights in whole.items():
        assert torch.allclose(weights, resumed[name], atol=1e-6), name
    assert any(weights.abs().sum() > 0 for name, weights in whole.items() if "lora_B" in name)


def test_accumulated_batches_and_recomputed_activations_train_alike(
    rows: list[ImageRow], feature_file: FeatureFile, tmp_path: Path
) -> None:
    plain = replace(SETTINGS, steps=1, dropout=0.0, queries=1, accumulate=2)
    spared = replace(plain, gradient_checkpointing=True)
    first = trained_weights(feature_file, feature_file, rows, tmp_path / "plain.pt", plain)
    second = trained_weights(feature_file, feature_file, rows, tmp_path / "spared.pt", spared)
    for name, weights in first.items():
        assert torch.allclose(weights, second[name], atol=1e-5), name


def test_only_the_language_model_is_adapted() -> None:
    model, _ = load_base(DEMO / "base", CPU, torch.float32)
    adapt(model, rank=4, dropout=0, seed=0, start=None)
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert all("language_model" in name and "lora_" in name for name in trained)
    assert len(trained) == 4 * 7 * 2  # layers, linear layers in each, two matrices


def test_a_base_without_linear_layers_is_refused() -> None:
    class Convolved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.decoder = nn.Sequential(nn.Conv1d(4, 4, 1))

        def get_decoder(self) -> nn.Module:
            return self.decoder

    with pytest.raises(UnfitBase, match="has no linear layers"):
        lora_targets(Convolved())


def test_one_command_trains_measures_and_writes_what_a_worker_serves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_catalogue(
        tmp_path / "catalogue", 150, seed=3, split="train", size_px=128, queries=0, families=True,
        finishes=True,
    )  # fmt: skip
    out = tmp_path / "adapter"
    command = [
        "reranker", "--manifest", str(manifest), "--out", str(out), "--coarse", "none",
        "--queries", "30", "--validation-queries", "16", "--validation-share", "0.4",
        "--steps", "2", "--batch-size", "2", "--candidates", "4",
    ]  # fmt: skip
    assert main(command) == 0
    assert "about finish" in capsys.readouterr().out
    described = json.loads((out / "reranker.json").read_text())
    assert described["template"] == "cir"
    assert (described["base"], described["visual_tokens"]) == ("demo", 16)
    for name in ("README.md", "adapter_model.safetensors", "report/metrics.json"):
        assert (out / name).stat().st_size > 0
    for plot in ("loss", "before_after"):
        with Image.open(out / "report" / f"{plot}.png") as picture:
            assert picture.width > 500

    reranker = Reranker(
        RerankerSettings(adapter=str(out))
    )  # what CIR_WORKER__RERANKER__ADAPTER sets
    row = json.loads((out / "report" / "scores.jsonl").read_text().splitlines()[0])
    pictures = {one.image_id: one.location for one in read_manifest(manifest)}

    def prepared(image_id: str) -> Any:
        return reranker.prepare(Image.open(pictures[image_id]))

    prefix = reranker.prefill(prepared(row["reference"]), row["modification_text"])
    shown = reranker.features([prepared(c["image_id"]) for c in row["candidates"]])
    asked = reranker.score(reranker.with_target(prefix, row["target"]), shown)
    measured = [candidate["after, target named"] for candidate in row["candidates"]]
    assert asked == pytest.approx(measured, abs=5e-3)
    assert measured != [candidate["before, target named"] for candidate in row["candidates"]]

    weights = (out / "adapter_model.safetensors").read_bytes()
    assert main([*command, "--learning-rate", "0.01"]) == 0  # another run, not this one again
    assert (out / "adapter_model.safetensors").read_bytes() != weights
    assert "continuing" not in capsys.readouterr().out


def test_errors_are_sentences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.jsonl").write_text('{"image": "gone.jpg"}\n')
    command = ["reranker", "--manifest", str(tmp_path / "m.jsonl"), "--out", str(tmp_path / "a")]
    assert main(command) == 2
    assert "1 of 1 images are not there" in capsys.readouterr().err
    assert main([*command, "--visual-tokens", "0"]) == 2
    said = capsys.readouterr().err
    assert said == "error: --visual-tokens: Input should be greater than or equal to 1\n"


def test_areas_are_those_of_counting_pairs() -> None:
    relevant = [[True, False, False], [True, True, False]]
    scores = [[0.9, 0.9, 0.1], [0.2, 0.8, 0.3]]
    examples = [
        replace(
            EXAMPLES[0],
            candidates=tuple(Candidate(n, fit, "") for n, fit in enumerate(row)),
        )
        for row in relevant
    ]
    same = dict.fromkeys(evaluation.PROMPT_MODES, scores)
    (found, *_) = evaluation.compare(examples, same, same)
    pairs = [(0.9, 0.9), (0.9, 0.1), (0.9, 0.3), (0.2, 0.9), (0.2, 0.1), (0.2, 0.3),
             (0.8, 0.9), (0.8, 0.1), (0.8, 0.3)]  # fmt: skip
    area = sum(1.0 if yes > no else 0.5 if yes == no else 0.0 for yes, no in pairs) / len(pairs)
    assert found.auc_before.mean == pytest.approx(area)
    assert found.auc_before.low <= area <= found.auc_before.high
    assert found.gain.mean == found.gain.low == found.gain.high == 0
    assert found.first_before.mean == 1.0
