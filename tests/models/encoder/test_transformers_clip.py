"""A CLIP in transformers' layout: the same embeddings as transformers gives, without it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

from models.encoder.encoder import ImageTextEncoder
from models.hub import ModelUnavailable
from models.query.composition import unite
from models.query.weights import CompositionWeights
from models.settings import EncoderSettings

# BGE-VL-base's: OpenAI's ViT-B/16
VISION = {"patch_size": 16}
TEXTS = ["a sofa", "Make the background dark, as if at night", "it's BLUE, not red!", "x " * 90]


def save_clip(folder: Path, activation: str = "quick_gelu", **vision: object) -> CLIPModel:
    """A random CLIP and its image processor, written as transformers writes them."""
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config={"hidden_act": activation, "num_hidden_layers": 3},
        vision_config={"hidden_act": activation, "num_hidden_layers": 3, **VISION, **vision},
    )
    model: CLIPModel = CLIPModel(config).eval()
    with torch.no_grad():  # as they come, biases are zero and would hide a mix-up
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.1)
    model.save_pretrained(folder)
    CLIPImageProcessorPil().save_pretrained(folder)
    return model


def encoder_of(folder: Path) -> ImageTextEncoder:
    return ImageTextEncoder(EncoderSettings(model=f"hf-clip:{folder}", device="cpu"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[CLIPModel, Path]:
    folder = tmp_path_factory.mktemp("clip")
    return save_clip(folder), folder


def picture(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(width)
    coarse = Image.fromarray(rng.integers(0, 255, (9, 9, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


@torch.inference_mode()
def features(model: CLIPModel, folder: Path, images: list[Image.Image], texts: list[str]) -> tuple[
    torch.Tensor, torch.Tensor
]:  # fmt: skip
    """What transformers gives, not normalised: (B, D) of images and of texts."""
    from open_clip import SimpleTokenizer

    pixels = CLIPImageProcessorPil.from_pretrained(folder)(images=images, return_tensors="pt")
    ids = SimpleTokenizer()(texts)
    return (
        model.get_image_features(pixels["pixel_values"]).pooler_output,
        model.get_text_features(ids, attention_mask=(ids != 0).long()).pooler_output,
    )


def unit(rows: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(rows, dim=-1).numpy()


def test_it_embeds_as_transformers_does(saved: tuple[CLIPModel, Path]) -> None:
    model, folder = saved
    images = [picture(300, 224), picture(224, 400), picture(90, 70)]
    expected_images, expected_texts = features(model, folder, images, TEXTS)
    encoder = encoder_of(folder)
    np.testing.assert_allclose(encoder.encode_images(images), unit(expected_images), atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), unit(expected_texts), atol=1e-5)
    assert encoder.embedding_dim == 512


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_other_shapes_and_activations(tmp_path: Path, activation: str) -> None:
    shape = {"hidden_size": 384, "num_attention_heads": 4, "intermediate_size": 999}
    model = save_clip(tmp_path, activation, **shape)
    images = [picture(224, 224)]
    expected_images, expected_texts = features(model, tmp_path, images, TEXTS)
    encoder = encoder_of(tmp_path)
    np.testing.assert_allclose(encoder.encode_images(images), unit(expected_images), atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), unit(expected_texts), atol=1e-5)


def test_the_union_is_the_models_own_sum(saved: tuple[CLIPModel, Path]) -> None:
    """BGE-VL adds features before it normalises: a union whose share is that of their lengths."""
    model, folder = saved
    images, texts = [picture(224, 224)], ["make it dark"]
    image, text = features(model, folder, images, texts)
    share = float(image.norm() / (image.norm() + text.norm()))
    encoder = encoder_of(folder)
    united = unite(
        encoder.encode_images(images)[0],
        encoder.encode_texts(texts)[0],
        CompositionWeights(union_reference=share),
    )
    np.testing.assert_allclose(united, unit(image + text)[0], atol=1e-5)


def test_weights_in_half_precision_are_read(saved: tuple[CLIPModel, Path], tmp_path: Path) -> None:
    """The published files are float16; embeddings are computed in float32 all the same."""
    model, _ = saved
    half = tmp_path / "half"
    torch.manual_seed(0)
    CLIPModel(model.config).half().save_pretrained(half)
    CLIPImageProcessorPil().save_pretrained(half)
    rows = encoder_of(half).encode_texts(TEXTS)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model_type": "siglip"}, "its model type is 'siglip', not 'clip'"),
        ({"vision_config": {"hidden_act": "relu"}}, "an activation .'relu'. that open_clip has"),
        ({"projection_dim": 256}, "size mismatch"),
    ],
)
def test_what_is_no_clip_is_refused(
    saved: tuple[CLIPModel, Path], tmp_path: Path, change: dict[str, object], sentence: str
) -> None:
    _, folder = saved
    for file in folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    config = json.loads((folder / "config.json").read_text()) | change
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnavailable, match=sentence):
        encoder_of(tmp_path)
