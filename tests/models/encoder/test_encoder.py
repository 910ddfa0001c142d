"""The encoder: unit rows in order, whatever the batch; real architectures; honest fingerprints."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.encoder.checkpoints import create_untrained, save_weights
from models.encoder.encoder import ImageTextEncoder
from models.hub import ModelUnavailable
from models.presets import load_preset, preset_names
from models.settings import EncoderSettings

PREPROCESSING: dict[str, object] = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
TINY: dict[str, object] = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16,
        },
        "text_cfg": {
            "context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1,
        },
    },
    "preprocess_cfg": PREPROCESSING,
}  # fmt: skip


def tiny_model(folder: Path, seed: int = 0, config: dict[str, object] = TINY) -> EncoderSettings:
    """A random model on disk, as `local-dir:` reads it."""
    folder.mkdir(exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(seed)
    model, _ = create_untrained(folder)
    save_weights(model, folder)
    return EncoderSettings(model=f"local-dir:{folder}", device="cpu", batch_size=4)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ImageTextEncoder:
    return ImageTextEncoder(tiny_model(tmp_path_factory.mktemp("tiny")))


def pictures(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (40, 50, 3), np.uint8)) for _ in range(count)]


def test_rows_are_float32_of_unit_length(tiny: ImageTextEncoder) -> None:
    for rows in (tiny.encode_images(pictures(3)), tiny.encode_texts(["a sofa", "", "x" * 900])):
        assert rows.dtype == np.float32
        assert rows.shape == (3, tiny.embedding_dim)
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_a_batch_gives_what_single_calls_give_in_order(tiny: ImageTextEncoder) -> None:
    images, texts = pictures(6), [f"a number {n} sofa" for n in range(6)]  # more than a batch
    singly = np.concatenate([tiny.encode_images([image]) for image in images])
    np.testing.assert_allclose(tiny.encode_images(images), singly, atol=1e-5)
    singly = np.concatenate([tiny.encode_texts([text]) for text in texts])
    np.testing.assert_allclose(tiny.encode_texts(texts), singly, atol=1e-5)


def test_padding_changes_no_embedding(tiny: ImageTextEncoder) -> None:
    """Against open_clip's own pass over the whole context, up to float noise."""
    for texts in (["a sofa"], ["", "a red sofa", "x " * 900], ["a blue striped sofa"] * 9):
        with torch.inference_mode():
            padded = tiny._model.encode_text(tiny._tokenize(texts), normalize=True).numpy()
        np.testing.assert_allclose(tiny.encode_texts(texts), padded, atol=1e-6)


def test_nothing_in_nothing_out(tiny: ImageTextEncoder) -> None:
    assert tiny.encode_images([]).shape == tiny.encode_texts([]).shape == (0, 16)


def test_the_fingerprint_follows_weights_and_preprocessing(tmp_path: Path) -> None:
    def fingerprint(name: str, seed: int, **preprocessing: object) -> str:
        config = {**TINY, "preprocess_cfg": {**PREPROCESSING, **preprocessing}}
        return ImageTextEncoder(tiny_model(tmp_path / name, seed, config)).fingerprint[-16:]

    first = fingerprint("one", seed=0)
    assert first == fingerprint("same", seed=0)
    assert first != fingerprint("other-weights", seed=1)
    assert first != fingerprint("other-mean", seed=0, mean=[0.4, 0.5, 0.5])


def test_a_model_without_weights_is_refused(tmp_path: Path) -> None:
    settings = tiny_model(tmp_path / "bare")
    (tmp_path / "bare" / "open_clip_model.safetensors").unlink()
    with pytest.raises(RuntimeError, match="could not be loaded"):
        ImageTextEncoder(settings)


def test_a_named_architecture_loads_weights_from_a_file(tmp_path: Path) -> None:
    """The path of `ViT-B-32` and its like, with random weights of a smaller real architecture."""
    import open_clip

    torch.manual_seed(0)
    weights = tmp_path / "weights.pt"
    torch.save(open_clip.create_model("ViT-S-32-alt").state_dict(), weights)
    settings = EncoderSettings(model="ViT-S-32-alt", pretrained=str(weights), device="cpu")
    encoder = ImageTextEncoder(settings)
    assert encoder.embedding_dim == 256
    assert encoder.fingerprint.startswith("ViT-S-32-alt-")
    assert encoder.encode_images(pictures(1)).shape == (1, 256)


@pytest.mark.parametrize("name", ["base", "large"])
def test_presets_name_weights_that_open_clip_knows(name: str) -> None:
    import open_clip

    preset = load_preset(name)
    assert (preset.encoder.model, preset.encoder.pretrained) in open_clip.list_pretrained()


def test_an_unknown_preset_is_refused_with_what_there_is() -> None:
    assert preset_names() == ["base", "demo", "fast", "large"]
    with pytest.raises(ValueError, match="there are: base, demo, fast, large"):
        load_preset("huge")


@pytest.mark.parametrize(
    ("model", "pretrained", "sentence"),
    [
        ("ViT-B32", None, "there is no encoder 'ViT-B32'; the nearest are ViT-B-32"),
        ("ViT-B-32", None, "needs weights: a weights file, or one of its pretrained tags: openai"),
        ("ViT-B-32", "laion2b_s34b_b79", "the nearest are laion2b_s34b_b79k"),
        ("local-dir:/nowhere", None, "the encoder's folder /nowhere is not there; it must hold"),
        ("hf-clip:/nowhere", None, "the encoder '/nowhere' is neither a folder here nor a hub"),
    ],
)
def test_wrong_names_are_refused_with_the_nearest_right_ones(
    model: str, pretrained: str | None, sentence: str
) -> None:
    with pytest.raises(ModelUnavailable, match=re.escape(sentence)):
        ImageTextEncoder(EncoderSettings(model=model, pretrained=pretrained, device="cpu"))


def test_a_device_that_is_not_there_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(RuntimeError, match="finds none"):
        ImageTextEncoder(EncoderSettings(device="cuda"))
