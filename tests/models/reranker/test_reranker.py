"""The shared-prefix path against the plain forward pass of the whole prompt, pair by pair."""

import contextlib
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image

from models.reranker import loading
from models.reranker.architectures.base import PreparedImage
from models.reranker.intent_format import IntentParseError
from models.reranker.reranker import ComposeUnsupported, Reranker
from models.settings import RerankerSettings
from tests.models.rerankers import reranker_of, shrunken

TOLERANCE = 1e-4
RERANKERS = (
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


@pytest.fixture(scope="module", params=RERANKERS, ids="-".join)
def reranker(request: pytest.FixtureRequest) -> Reranker:
    return reranker_of(*request.param)


def picture(width: int, height: int, seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


# two shapes among the candidates, and a reference of a third
PICTURES = [picture(320, 200, 1), picture(256, 256, 2), picture(320, 200, 3), picture(256, 256, 4)]


@pytest.mark.parametrize("target", [None, "a blue sofa on the beach"])
def test_prefix_path_gives_the_scores_of_the_plain_forward_pass(
    reranker: Reranker, target: str | None
) -> None:
    reference = reranker.prepare(picture(180, 300, 0))
    candidates = [reranker.prepare(image) for image in PICTURES]
    alone = [reranker.score_unsplit(reference, "the same but blue", target, c) for c in candidates]

    prefix = reranker.prefill(reference, "the same but blue")
    if target is not None:
        prefix = reranker.with_target(prefix, target)
    together = reranker.score(prefix, reranker.features(candidates))

    assert max(alone) - min(alone) > 100 * TOLERANCE, "a test that could not fail"
    assert together == pytest.approx(alone, abs=TOLERANCE)


def test_a_batch_of_one_scores_as_a_batch_of_many(reranker: Reranker) -> None:
    prefix = reranker.prefill(reranker.prepare(PICTURES[0]), "in red")
    features = reranker.features([reranker.prepare(image) for image in PICTURES])
    singly = [reranker.score(prefix, [one])[0] for one in features]
    assert reranker.score(prefix, features) == pytest.approx(singly, abs=TOLERANCE)


def test_order_of_candidates_does_not_matter(reranker: Reranker) -> None:
    prefix = reranker.prefill(reranker.prepare(PICTURES[0]), "in red")
    features = reranker.features([reranker.prepare(image) for image in PICTURES])
    scores = reranker.score(prefix, features)
    order = [2, 0, 3, 1]
    shuffled = reranker.score(prefix, [features[i] for i in order])
    assert shuffled == pytest.approx([scores[i] for i in order], abs=TOLERANCE)


def test_using_a_prefix_does_not_change_it(reranker: Reranker) -> None:
    prefix = reranker.prefill(reranker.prepare(PICTURES[0]), "in red")
    features = reranker.features([reranker.prepare(PICTURES[1])])
    before = reranker.score(prefix, features)
    with contextlib.suppress(
        IntentParseError, ComposeUnsupported
    ):  # random weights speak at length
        reranker.compose(prefix)
    reranker.score(reranker.with_target(prefix, "something else"), features)
    assert reranker.score(prefix, features) == pytest.approx(before, abs=1e-6)


def test_the_request_and_the_reference_matter(reranker: Reranker) -> None:
    features = reranker.features([reranker.prepare(PICTURES[1])])
    one, other = reranker.prepare(PICTURES[0]), reranker.prepare(PICTURES[3])
    scores = {
        reranker.score(reranker.prefill(reference, text), features)[0]
        for reference in (one, other)
        for text in ("in red", "in the snow")
    }
    assert len({round(score, 5) for score in scores}) == 4


def test_pictures_never_cost_more_visual_tokens_than_set(reranker: Reranker) -> None:
    for width, height in ((300, 300), (900, 100), (100, 900), (40, 40), (1920, 1080)):
        assert reranker.prepare(picture(width, height, 5)).visual_tokens <= 64
    assert reranker.prepare(picture(512, 512, 5)).visual_tokens == 64


def test_a_smaller_budget_shows_smaller_pictures(reranker: Reranker) -> None:
    architecture = reranker._architecture
    prepared = architecture.prepare(picture(512, 512, 5), 16)
    (seen,) = architecture.features([prepared])
    assert prepared.visual_tokens == seen.visual_tokens == 16


def likeliest_tokens(
    reranker: Reranker, reference: PreparedImage, text: str, count: int
) -> list[int]:
    """What the model's own forward pass over the whole prompt writes, again for every token."""
    ids = torch.cat(
        [
            reranker._ids(reranker._prompt.prefix(text), [reference]),
            reranker._ids(reranker._prompt.compose_instruction or ""),
        ],
        dim=1,
    )
    written: list[int] = []
    for _ in range(count):
        inputs = reranker._architecture.unsplit_inputs(ids, [reference])
        with torch.inference_mode():
            out = reranker._loaded.model(
                input_ids=ids, attention_mask=torch.ones_like(ids), logits_to_keep=1, **inputs
            )
        written.append(int(out.logits[0, -1].argmax()))
        ids = torch.cat([ids, torch.tensor([written[-1:]])], dim=1)
    return written


def test_an_intent_is_what_the_plain_forward_pass_writes(reranker: Reranker) -> None:
    reference = reranker.prepare(PICTURES[0])
    prefix = reranker.prefill(reference, "the same but blue")
    if not reranker.composes:
        with pytest.raises(ComposeUnsupported, match="only scores"):
            reranker.compose(prefix)
        return
    with torch.inference_mode():
        written = reranker._generate(
            prefix, reranker._ids(reranker._prompt.compose_instruction or ""), 8
        )
    assert written == likeliest_tokens(reranker, reference, "the same but blue", len(written))


def test_idefics3_features_are_those_of_its_own_processing() -> None:
    """One squared tile, full: the mask its processor gives says the same as none."""
    reranker = shrunken("SmolVLM")
    own = reranker._loaded.processor.image_processor(
        images=[PICTURES[0]], do_resize=False, do_image_splitting=False, return_tensors="pt"
    )
    with torch.inference_mode():
        expected = reranker._loaded.model.model.get_image_features(
            own["pixel_values"], own["pixel_attention_mask"]
        ).pooler_output[0]
    assert own["pixel_attention_mask"].bool().all()
    (seen,) = reranker.features([reranker.prepare(PICTURES[0])])
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
    with pytest.raises(loading.RerankerLoadError, match="not for this base"):
        loading.merge_adapter(other, tmp_path)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_logits_are_formed_in_float32(dtype: Literal["float32", "bfloat16"]) -> None:
    """In bfloat16, logits of 8 bits would tie candidates whose hidden states differ."""
    settings = RerankerSettings(dtype=dtype, device="cpu")
    reranker = Reranker(settings)
    prefix = reranker.prefill(reranker.prepare(PICTURES[0]), "in red")
    features = reranker.features([reranker.prepare(image) for image in PICTURES])
    scores = reranker.score(prefix, features)
    with torch.inference_mode():
        head = reranker._head[[reranker._yes, reranker._no]]
        for rows, hidden in reranker._score_groups(prefix, features):
            assert hidden.dtype is head.dtype is getattr(torch, dtype)
            exact = (hidden.double() @ (head[0].double() - head[1].double())).sigmoid()
            assert [scores[row] for row in rows] == pytest.approx(exact.tolist(), abs=1e-6)
            if dtype == "float32":  # to the last bit
                plain = (hidden @ (head[0] - head[1])).sigmoid()
                assert [scores[row] for row in rows] == plain.tolist()
