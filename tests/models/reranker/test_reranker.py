"""The shared-prefix path against the plain forward pass of the whole prompt, pair by pair."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.reranker import loading
from models.reranker.architectures.base import PreparedImage
from models.reranker.intent_format import UnreadableIntent
from models.reranker.reranker import CannotCompose, Judge
from tests.models.rerankers import judge_of, shrunken

TOLERANCE = 1e-4
JUDGES = (
    ("demo", "cir"),
    ("Qwen3-VL", "cir"),
    ("Qwen3-VL", "qwen3-vl-reranker"),
    ("Qwen3-VL", "instruct"),
    ("Qwen2.5-VL", "cir"),
    ("Qwen2.5-VL", "instruct"),
    ("SmolVLM", "cir"),
    ("SmolVLM", "smolvlm"),
    ("SmolVLM2", "smolvlm"),
)


@pytest.fixture(scope="module", params=JUDGES, ids="-".join)
def judge(request: pytest.FixtureRequest) -> Judge:
    return judge_of(*request.param)


def picture(width: int, height: int, seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


# two shapes among the candidates, and a reference of a third
PICTURES = [picture(320, 200, 1), picture(256, 256, 2), picture(320, 200, 3), picture(256, 256, 4)]


@pytest.mark.parametrize("target", [None, "a blue sofa on the beach"])
def test_prefix_path_gives_the_scores_of_the_plain_forward_pass(
    judge: Judge, target: str | None
) -> None:
    reference = judge.prepare(picture(180, 300, 0))
    candidates = [judge.prepare(image) for image in PICTURES]
    alone = [judge.score_alone(reference, "the same but blue", target, c) for c in candidates]

    prefix = judge.begin(reference, "the same but blue")
    if target is not None:
        prefix = judge.with_target(prefix, target)
    together = judge.score(prefix, judge.features(candidates))

    assert max(alone) - min(alone) > 100 * TOLERANCE, "a test that could not fail"
    assert together == pytest.approx(alone, abs=TOLERANCE)


def test_a_batch_of_one_scores_as_a_batch_of_many(judge: Judge) -> None:
    prefix = judge.begin(judge.prepare(PICTURES[0]), "in red")
    features = judge.features([judge.prepare(image) for image in PICTURES])
    singly = [judge.score(prefix, [one])[0] for one in features]
    assert judge.score(prefix, features) == pytest.approx(singly, abs=TOLERANCE)


def test_order_of_candidates_does_not_matter(judge: Judge) -> None:
    prefix = judge.begin(judge.prepare(PICTURES[0]), "in red")
    features = judge.features([judge.prepare(image) for image in PICTURES])
    scores = judge.score(prefix, features)
    order = [2, 0, 3, 1]
    shuffled = judge.score(prefix, [features[i] for i in order])
    assert shuffled == pytest.approx([scores[i] for i in order], abs=TOLERANCE)


def test_using_a_prefix_does_not_change_it(judge: Judge) -> None:
    prefix = judge.begin(judge.prepare(PICTURES[0]), "in red")
    features = judge.features([judge.prepare(PICTURES[1])])
    before = judge.score(prefix, features)
    with contextlib.suppress(UnreadableIntent, CannotCompose):  # random weights speak at length
        judge.compose(prefix)
    judge.score(judge.with_target(prefix, "something else"), features)
    assert judge.score(prefix, features) == pytest.approx(before, abs=1e-6)


def test_the_request_and_the_reference_matter(judge: Judge) -> None:
    features = judge.features([judge.prepare(PICTURES[1])])
    one, other = judge.prepare(PICTURES[0]), judge.prepare(PICTURES[3])
    scores = {
        judge.score(judge.begin(reference, text), features)[0]
        for reference in (one, other)
        for text in ("in red", "in the snow")
    }
    assert len({round(score, 5) for score in scores}) == 4


def test_pictures_never_cost_more_visual_tokens_than_set(judge: Judge) -> None:
    for width, height in ((300, 300), (900, 100), (100, 900), (40, 40), (1920, 1080)):
        assert judge.prepare(picture(width, height, 5)).visual_tokens <= 64
    assert judge.prepare(picture(512, 512, 5)).visual_tokens == 64


def test_a_smaller_budget_shows_smaller_pictures(judge: Judge) -> None:
    family = judge._family
    prepared = family.prepare(picture(512, 512, 5), 16)
    (seen,) = family.features([prepared])
    assert prepared.visual_tokens == seen.visual_tokens == 16


def likeliest_tokens(judge: Judge, reference: PreparedImage, text: str, count: int) -> list[int]:
    """What the model's own forward pass over the whole prompt writes, again for every token."""
    ids = torch.cat(
        [
            judge._ids(judge._template.opening(text), [reference]),
            judge._ids(judge._template.ask or ""),
        ],
        dim=1,
    )
    written: list[int] = []
    for _ in range(count):
        inputs = judge._family.whole_prompt(ids, [reference])
        with torch.inference_mode():
            out = judge._loaded.model(
                input_ids=ids, attention_mask=torch.ones_like(ids), logits_to_keep=1, **inputs
            )
        written.append(int(out.logits[0, -1].argmax()))
        ids = torch.cat([ids, torch.tensor([written[-1:]])], dim=1)
    return written


def test_an_intent_is_what_the_plain_forward_pass_writes(judge: Judge) -> None:
    reference = judge.prepare(PICTURES[0])
    prefix = judge.begin(reference, "the same but blue")
    if not judge.composes:
        with pytest.raises(CannotCompose, match="only scores"):
            judge.compose(prefix)
        return
    with torch.inference_mode():
        written = judge._write(prefix, judge._ids(judge._template.ask or ""), 8)
    assert written == likeliest_tokens(judge, reference, "the same but blue", len(written))


def test_idefics3_features_are_those_of_its_own_processing() -> None:
    """One squared tile, full: the mask its processor gives says the same as none."""
    judge = shrunken("SmolVLM")
    own = judge._loaded.processor.image_processor(
        images=[PICTURES[0]], do_resize=False, do_image_splitting=False, return_tensors="pt"
    )
    with torch.inference_mode():
        expected = judge._loaded.model.model.get_image_features(
            own["pixel_values"], own["pixel_attention_mask"]
        ).pooler_output[0]
    assert own["pixel_attention_mask"].bool().all()
    (seen,) = judge.features([judge.prepare(PICTURES[0])])
    assert torch.allclose(seen.tokens, expected, atol=1e-5)


def test_adapter_round_trip_and_mismatch(tmp_path: Path) -> None:
    """A merged adapter scores as the wrapped one; one for another base is refused."""
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415

    model = shrunken("Qwen3-VL")._loaded.model
    lora = LoraConfig(r=4, target_modules=r".*language_model.*\.(q|v)_proj")
    wrapped = get_peft_model(shrunken("Qwen3-VL")._loaded.model, lora)
    torch.manual_seed(0)
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    wrapped.save_pretrained(str(tmp_path))
    ids = torch.arange(10)[None]
    with torch.inference_mode():
        adapted = wrapped(input_ids=ids).logits
        plain = model(input_ids=ids).logits
        merged = loading.merge_adapter(model, tmp_path)(input_ids=ids).logits
    assert (adapted - plain).abs().max() > 1e-2
    assert torch.allclose(adapted, merged, atol=1e-4)

    other = shrunken("Qwen3-VL")._loaded.model
    del other.model.language_model.layers[-1]
    with pytest.raises(loading.JudgeUnavailable, match="not for this base"):
        loading.merge_adapter(other, tmp_path)
