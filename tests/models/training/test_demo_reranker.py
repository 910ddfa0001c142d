"""A reranker is prompted in training as in service: the same tokens, positions and masks."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import Qwen3VLForConditionalGeneration

from indexer.demo.catalogue import write_catalogue
from models.presets import load_preset
from models.reranker.loading import RerankerParts
from models.reranker.reranker import Reranker
from models.settings import RerankerSettings
from models.training.demo_reranker import base_model, pipeline
from models.training.demo_reranker.data import PROMPT, DemoData, Negatives, mine, read_examples
from models.training.demo_reranker.language import answer_loss, extract_features
from models.training.demo_reranker.vision import grid, load_pictures, to_patches
from models.training.options import DemoRerankerOptions
from models.training.packing import IGNORED, collate
from models.training.run_identity import OtherRun

SMALL_VISION = {**pipeline.VISION, "hidden_size": 32, "intermediate_size": 64, "depth": 3}
SMALL_TEXT = {**pipeline.TEXT, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2}


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reranker") / "train"
    write_catalogue(
        folder, 120, seed=5, split="train", size_px=pipeline.IMAGE_PX, queries=60,
        families=True, questions=16,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def examples(catalogue: Path) -> DemoData:
    return read_examples(catalogue)


@pytest.fixture(scope="module")
def reranker(examples: DemoData) -> Reranker:
    processor = base_model.create_processor(examples.texts(), 600, pipeline.IMAGE_PX, 16, 2)
    model = base_model.create_model(
        processor, pipeline.IMAGE_PX, vision=SMALL_VISION, text=SMALL_TEXT, seed=1
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3)  # a random model says 0.50 to everything
    loaded = RerankerParts(
        model.eval().requires_grad_(False), processor, torch.device("cpu"), "a test", "small"
    )
    return Reranker(RerankerSettings(), loaded)


def images_of(catalogue: Path) -> list[Path]:
    return sorted((catalogue / "images").iterdir())


def test_patches_are_those_of_the_image_processor(reranker: Reranker, catalogue: Path) -> None:
    paths = images_of(catalogue)[:3]
    made = to_patches(load_pictures(paths, pipeline.IMAGE_PX).float() / 255, 16, 2)
    with_processor = torch.cat([reranker.prepare(Image.open(path)).pixels for path in paths])
    assert torch.allclose(made, with_processor, atol=1e-5)
    assert grid(torch.zeros(3, 3, 128, 128), 16).tolist() == [[1, 8, 8]] * 3


@pytest.mark.parametrize("shows_target", [True, False])
def test_branches_of_an_example_score_as_the_reranker_does(
    reranker: Reranker, examples: DemoData, catalogue: Path, shows_target: bool
) -> None:
    query = examples.queries[0]
    paths = images_of(catalogue)
    model = reranker._loaded.model
    picture_features = extract_features(model.model.visual, load_pictures(paths, pipeline.IMAGE_PX))
    writer = pipeline._writer(reranker._loaded.processor, model.config)
    candidates = [3, 50, query.reference]
    batch = collate(
        [
            writer.query(
                query, [(number, True) for number in candidates], shows_target=shows_target
            ),
            writer.questions(
                0, examples.questions[0], examples.captions[0]
            ),  # to be padded against
        ]
    )
    with torch.inference_mode():
        hidden = model.model(
            input_ids=batch.ids,
            position_ids=batch.positions,
            attention_mask=torch.where(batch.mask, 0.0, torch.finfo(torch.float32).min),
            use_cache=False,
            mm_encoder_outputs={
                "image": picture_features.pick(batch.pictures, torch.device("cpu"))
            },
        ).last_hidden_state[0]
    (yes,) = reranker._architecture.tokenize(PROMPT.yes)
    places = (batch.labels[0] == yes).nonzero()[:, 0][-len(candidates) :] - 1
    in_training = (hidden[places] @ reranker._yes_minus_no).sigmoid().tolist()

    prefix = reranker.prefill(reranker.prepare(Image.open(paths[query.reference])), query.text)
    if shows_target:
        prefix = reranker.with_target(prefix, query.target)
    features = reranker.features([reranker.prepare(Image.open(paths[i])) for i in candidates])
    asked = reranker.score(prefix, features)
    # visual features are kept in half precision for training
    assert in_training == pytest.approx(asked, abs=5e-3)
    assert max(asked) - min(asked) > 0.02


def test_only_answers_are_asked_for(reranker: Reranker, examples: DemoData) -> None:
    writer = pipeline._writer(reranker._loaded.processor, reranker._loaded.model.config)
    row = writer.query(examples.queries[0], [(1, True), (2, False)])
    labels = collate([row]).labels[0].tolist()
    asked = [token for token in labels if token != IGNORED]
    said = reranker._architecture.tokenizer.decode(asked)
    assert said == PROMPT.answer(examples.queries[0].intent) + PROMPT.yes + PROMPT.no


def test_negatives_are_never_right_answers(examples: DemoData) -> None:
    negatives, rng = Negatives(examples), random.Random(0)
    for query in examples.queries:
        drawn = negatives.draw(query, 12, rng)
        assert not set(drawn) & query.answers
        assert query.reference in drawn or query.reference in query.answers


def test_what_the_coarse_stage_mistakes_becomes_a_negative(
    examples: DemoData, catalogue: Path
) -> None:
    mined = mine(examples, images_of(catalogue), load_preset("demo"), queries=12, depth=10, seed=0)
    assert len(mined) == 12  # 60 queries among 120 pictures: ten ranks are never all right
    for number, wrong in mined.items():
        query = examples.queries[number]
        assert not {*wrong} & {*query.answers, query.reference}
    number, wrong = next(iter(mined.items()))
    negatives = Negatives(examples, {examples.queries[number]: wrong})
    drawn = negatives.draw(examples.queries[number], 60, random.Random(0))
    assert sum(picture in wrong for picture in drawn) > 20


def test_answers_to_questions_are_about_half_yes(examples: DemoData) -> None:
    answers = [answer for asked in examples.questions for _, answer in asked]
    assert 0.4 < sum(answers) / len(answers) < 0.65


def test_all_stages_run_resume_and_make_a_reranker_that_loads(
    catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps each: no quality, but every file, in the layout that serving loads."""
    monkeypatch.setattr(pipeline, "VISION", SMALL_VISION)
    monkeypatch.setattr(pipeline, "TEXT", SMALL_TEXT)
    options = DemoRerankerOptions(
        catalogue=catalogue, validation=catalogue, out=tmp_path, vision_steps=2, base_steps=2,
        adapter_steps=2, batch_size=4, rows=2, queries=2, candidates=3, mined=8,
    )  # fmt: skip
    pipeline.train(options)
    adapted = Reranker(
        RerankerSettings(base=str(tmp_path / "base"), adapter=str(tmp_path / "adapter"))
    )
    base = Reranker(RerankerSettings(base=str(tmp_path / "base")))
    assert "-cir-1-" in adapted.version, "the adapter's own card says what it is asked"
    assert "-instruct-1-" in base.version, "a base of that name names no template"
    picture = base.prepare(Image.open(images_of(catalogue)[0]))
    for made in (base, adapted):
        (score,) = made.score(made.prefill(picture, "in blue"), made.features([picture]))
        assert 0 < score < 1

    before = (tmp_path / "base" / "model.safetensors").read_bytes()
    (tmp_path / "adapter" / "adapter_config.json").unlink()
    pipeline.train(options)  # the base is there and stays; the adapter comes from its checkpoint
    assert (tmp_path / "base" / "model.safetensors").read_bytes() == before
    assert (tmp_path / "adapter" / "adapter_config.json").exists()

    pipeline.train(options)
    options = replace(options, lora_rank=4)
    with pytest.raises(OtherRun, match=r"adapter is there already, made with lora_rank 32, not 4"):
        pipeline.train(options)
    options = replace(options, vision_steps=3)
    with pytest.raises(OtherRun, match=r"base is there already, made with vision_steps 2, not 3"):
        pipeline.train(options)
    other = read_examples(catalogue, 100)
    tower = Qwen3VLForConditionalGeneration.from_pretrained(tmp_path / "base").model.visual
    picture_features, _ = pipeline._extract_all(options, tower, other, other, tmp_path / "work")
    assert len(picture_features.tokens) == 100, (
        "features of more pictures, or of another tower, are another file"
    )


def test_loss_falls_on_an_example_repeated(
    reranker: Reranker, examples: DemoData, catalogue: Path
) -> None:
    """The gradient reaches the language model through prefix, branches and pictures."""
    import copy

    model = copy.deepcopy(reranker._loaded.model).requires_grad_(True).train()
    picture_features = extract_features(
        model.model.visual, load_pictures(images_of(catalogue), pipeline.IMAGE_PX)
    )
    writer = pipeline._writer(reranker._loaded.processor, model.config)
    batch = collate([writer.query(q, [(0, True), (1, False)]) for q in examples.queries[:4]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss, _ = answer_loss(model, batch, picture_features)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
