"""What a judge is taught is what it is later asked: the same tokens, positions and masks."""

import argparse
import random
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import Qwen3VLForConditionalGeneration

from indexer.demo.catalogue import write_catalogue
from models.presets import load_preset
from models.reranker.loading import LoadedJudge
from models.reranker.reranker import Judge
from models.settings import JudgeSettings
from models.training.demo_reranker import base_model, pipeline
from models.training.demo_reranker.data import TEMPLATE, Lessons, Negatives, mine, read_lessons
from models.training.demo_reranker.language import answer_loss, see
from models.training.demo_reranker.vision import grid, load_pictures, to_patches
from models.training.kept import OtherRun
from models.training.packing import IGNORED, collate

SMALL_VISION = {**pipeline.VISION, "hidden_size": 32, "intermediate_size": 64, "depth": 3}
SMALL_TEXT = {**pipeline.TEXT, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2}


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judge") / "train"
    write_catalogue(
        folder, 120, seed=5, split="train", size_px=pipeline.IMAGE_PX, queries=60,
        families=True, questions=16,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def lessons(catalogue: Path) -> Lessons:
    return read_lessons(catalogue)


@pytest.fixture(scope="module")
def judge(lessons: Lessons) -> Judge:
    processor = base_model.create_processor(lessons.texts(), 600, pipeline.IMAGE_PX, 16, 2)
    model = base_model.create_model(
        processor, pipeline.IMAGE_PX, vision=SMALL_VISION, text=SMALL_TEXT, seed=1
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3)  # a random model says 0.50 to everything
    loaded = LoadedJudge(
        model.eval().requires_grad_(False), processor, torch.device("cpu"), "a test", "small"
    )
    return Judge(JudgeSettings(), loaded)


def images_of(catalogue: Path) -> list[Path]:
    return sorted((catalogue / "images").iterdir())


def test_patches_are_those_of_the_image_processor(judge: Judge, catalogue: Path) -> None:
    paths = images_of(catalogue)[:3]
    made = to_patches(load_pictures(paths, pipeline.IMAGE_PX).float() / 255, 16, 2)
    with_processor = torch.cat([judge.prepare(Image.open(path)).pixels for path in paths])
    assert torch.allclose(made, with_processor, atol=1e-5)
    assert grid(torch.zeros(3, 3, 128, 128), 16).tolist() == [[1, 8, 8]] * 3


@pytest.mark.parametrize("shows_target", [True, False])
def test_branches_of_a_lesson_score_as_the_judge_does(
    judge: Judge, lessons: Lessons, catalogue: Path, shows_target: bool
) -> None:
    query = lessons.queries[0]
    paths = images_of(catalogue)
    model = judge._loaded.model
    seen = see(model.model.visual, load_pictures(paths, pipeline.IMAGE_PX))
    writer = pipeline._writer(judge._loaded.processor, model.config)
    candidates = [3, 50, query.reference]
    batch = collate(
        [
            writer.query(
                query, [(number, True) for number in candidates], shows_target=shows_target
            ),
            writer.questions(0, lessons.questions[0], lessons.captions[0]),  # to be padded against
        ]
    )
    with torch.inference_mode():
        hidden = model.model(
            input_ids=batch.ids,
            position_ids=batch.positions,
            attention_mask=torch.where(batch.mask, 0.0, torch.finfo(torch.float32).min),
            use_cache=False,
            mm_encoder_outputs={"image": seen.pick(batch.pictures, torch.device("cpu"))},
        ).last_hidden_state[0]
    (yes,) = judge._family.tokenize(TEMPLATE.yes)
    places = (batch.labels[0] == yes).nonzero()[:, 0][-len(candidates) :] - 1
    taught = (hidden[places] @ judge._yes_minus_no).sigmoid().tolist()

    prefix = judge.begin(judge.prepare(Image.open(paths[query.reference])), query.text)
    if shows_target:
        prefix = judge.with_target(prefix, query.target)
    features = judge.features([judge.prepare(Image.open(paths[i])) for i in candidates])
    asked = judge.score(prefix, features)
    # visual features are kept in half precision for training
    assert taught == pytest.approx(asked, abs=5e-3)
    assert max(asked) - min(asked) > 0.02


def test_only_answers_are_asked_for(judge: Judge, lessons: Lessons) -> None:
    writer = pipeline._writer(judge._loaded.processor, judge._loaded.model.config)
    row = writer.query(lessons.queries[0], [(1, True), (2, False)])
    labels = collate([row]).labels[0].tolist()
    asked = [token for token in labels if token != IGNORED]
    said = judge._family.tokenizer.decode(asked)
    assert said == TEMPLATE.answer(lessons.queries[0].intent) + TEMPLATE.yes + TEMPLATE.no


def test_negatives_are_never_right_answers(lessons: Lessons) -> None:
    negatives, rng = Negatives(lessons), random.Random(0)
    for query in lessons.queries:
        drawn = negatives.draw(query, 12, rng)
        assert not set(drawn) & query.answers
        assert query.reference in drawn or query.reference in query.answers


def test_what_the_coarse_stage_mistakes_becomes_a_negative(
    lessons: Lessons, catalogue: Path
) -> None:
    mined = mine(lessons, images_of(catalogue), load_preset("demo"), queries=12, depth=10, seed=0)
    assert len(mined) == 12  # 60 queries among 120 pictures: ten ranks are never all right
    for number, wrong in mined.items():
        query = lessons.queries[number]
        assert not {*wrong} & {*query.answers, query.reference}
    number, wrong = next(iter(mined.items()))
    negatives = Negatives(lessons, {lessons.queries[number]: wrong})
    drawn = negatives.draw(lessons.queries[number], 60, random.Random(0))
    assert sum(picture in wrong for picture in drawn) > 20


def test_answers_to_questions_are_about_half_yes(lessons: Lessons) -> None:
    answers = [answer for asked in lessons.questions for _, answer in asked]
    assert 0.4 < sum(answers) / len(answers) < 0.65


def test_all_stages_run_resume_and_make_a_judge_that_loads(
    catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps each: no quality, but every file, in the layout that serving loads."""
    monkeypatch.setattr(pipeline, "VISION", SMALL_VISION)
    monkeypatch.setattr(pipeline, "TEXT", SMALL_TEXT)
    parser = argparse.ArgumentParser()
    pipeline.add_arguments(parser)
    options = parser.parse_args(
        ["--catalogue", str(catalogue), "--validation", str(catalogue), "--out", str(tmp_path)]
        + ["--vision-steps", "2", "--base-steps", "2", "--adapter-steps", "2", "--batch-size", "4"]
        + ["--rows", "2", "--queries", "2", "--candidates", "3", "--mined", "8"]
    )
    pipeline.train(options)
    adapted = Judge(JudgeSettings(base=str(tmp_path / "base"), adapter=str(tmp_path / "adapter")))
    base = Judge(JudgeSettings(base=str(tmp_path / "base")))
    assert "-cir-1-" in adapted.version, "the adapter's own card says what it is asked"
    assert "-instruct-1-" in base.version, "a base of that name is nobody's in particular"
    picture = base.prepare(Image.open(images_of(catalogue)[0]))
    for made in (base, adapted):
        (score,) = made.score(made.begin(picture, "in blue"), made.features([picture]))
        assert 0 < score < 1

    before = (tmp_path / "base" / "model.safetensors").read_bytes()
    (tmp_path / "adapter" / "adapter_config.json").unlink()
    pipeline.train(options)  # the base is there and stays; the adapter comes from its checkpoint
    assert (tmp_path / "base" / "model.safetensors").read_bytes() == before
    assert (tmp_path / "adapter" / "adapter_config.json").exists()

    pipeline.train(options)
    options.lora_rank = 4
    with pytest.raises(OtherRun, match=r"adapter is there already, made with lora_rank 32, not 4"):
        pipeline.train(options)
    options.vision_steps = 3
    with pytest.raises(OtherRun, match=r"base is there already, made with vision_steps 2, not 3"):
        pipeline.train(options)
    other = read_lessons(catalogue, 100)
    tower = Qwen3VLForConditionalGeneration.from_pretrained(tmp_path / "base").model.visual
    seen, _ = pipeline._see_all(options, tower, other, other, tmp_path / "work")
    assert len(seen.tokens) == 100, (
        "what was seen of more pictures, or by another tower, is another"
    )


def test_loss_falls_on_a_lesson_repeated(judge: Judge, lessons: Lessons, catalogue: Path) -> None:
    """The gradient reaches the language model through prefix, branches and pictures."""
    import copy

    model = copy.deepcopy(judge._loaded.model).requires_grad_(True).train()
    seen = see(model.model.visual, load_pictures(images_of(catalogue), pipeline.IMAGE_PX))
    writer = pipeline._writer(judge._loaded.processor, model.config)
    batch = collate([writer.query(q, [(0, True), (1, False)]) for q in lessons.queries[:4]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss, _ = answer_loss(model, batch, seen)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
