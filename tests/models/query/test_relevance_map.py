"""Heat maps: where the encoder sees a phrase, on both kinds of tower and on known scenes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from indexer.demo.render import item_boxes, render_scene
from indexer.demo.scene import COLOURS, KINDS, Scene, sample_scenes
from models.contracts.gallery import Facet
from models.encoder.encoder import ImageTextEncoder
from models.encoder.types import Patches
from models.presets import load_preset
from models.query.relevance_map import contrast_phrases, relevance_map
from tests.models.encoder.test_encoder import TINY, tiny_model

FACETS = (
    Facet(name="colour", kind="keyword", values=COLOURS),
    Facet(name="category", kind="keyword", values=KINDS),
    Facet(name="setting", kind="keyword", values=("beach", "snow"), context=True),
    Facet(name="price", kind="number"),
)
SCENES = 40


@pytest.fixture(scope="module")
def two_things() -> list[Scene]:
    """Test scenes of two things of different colours."""
    scenes = sample_scenes(400, 77, "test")
    pairs = [s for s in scenes if len({item.colour for item in s.items}) == 2]
    return pairs[:SCENES]


def share_inside(relevance: np.ndarray, box: tuple[float, float, float, float]) -> float:
    """The part of a map's mass inside a box; every cell's mass lies at its centre."""
    rows, columns = relevance.shape
    y, x = (np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns
    left, top, right, bottom = box
    inside = ((y > top) & (y < bottom))[:, None] & ((x > left) & (x < right))[None]
    return float(relevance[inside].sum() / relevance.sum())


@pytest.mark.parametrize(
    ("word", "least_mass", "least_right", "peaks_inside"),
    [("colour", 0.5, 0.95, (0.75, 1)), ("kind", 0.3, 0.75, (0, 0.5))],
)
def test_the_map_lies_on_the_thing_that_is_named(
    encoder: ImageTextEncoder,
    two_things: list[Scene],
    word: str,
    least_mass: float,
    least_right: float,
    peaks_inside: tuple[float, float],
) -> None:
    """Against the box's own share of the picture, and against the box of the other thing.

    The place where a map is brightest is what people look at: a colour's lies on its thing, a
    kind's more often elsewhere. That is why the demo preset does not claim to locate kinds.
    """
    masses, areas, right, peaks = [], [], [], []
    for scene in two_things:
        patches = encoder.encode_patches(render_scene(scene, 160))
        boxes = item_boxes(scene)
        even = np.ones(patches.embeddings.shape[:2])
        for item, here, there in zip(scene.items, boxes, boxes[::-1], strict=True):
            phrase = getattr(item, word)
            texts = encoder.encode_texts(
                [phrase, *contrast_phrases(phrase, FACETS, "category").phrases]
            )
            relevance = relevance_map(patches, texts[0], texts[1:], encoder.logit_scale)
            masses.append(share_inside(relevance, here))
            areas.append(share_inside(even, here))
            right.append(masses[-1] > share_inside(relevance, there))
            brightest = (relevance == relevance.max()).astype(float)
            peaks.append(share_inside(brightest, here) > 0)
    measured = (
        f"mass {np.mean(masses):.3f} of area {np.mean(areas):.3f}, right {np.mean(right):.3f}, "
        f"brightest inside {np.mean(peaks):.3f}"
    )
    print(word, measured)
    assert np.mean(masses) >= max(least_mass, 1.5 * float(np.mean(areas))), measured
    assert np.mean(right) >= least_right, measured
    least, most = peaks_inside
    assert least <= np.mean(peaks) <= most, measured
    assert not load_preset("demo").encoder.locates_kinds


def test_patches_tile_the_picture_in_order(encoder: ImageTextEncoder) -> None:
    """A ResNet's four woven grids: what changes at a place changes the map there most."""
    grey = Image.new("RGB", (96, 96), "grey")
    before = encoder.encode_patches(grey).embeddings
    rows, columns, _ = before.shape
    assert (rows, columns) == (6, 6)
    for row, column in ((0, 5), (3, 1), (5, 4)):
        spotted = grey.copy()
        spotted.paste("red", (16 * column, 16 * row, 16 * column + 16, 16 * row + 16))
        change = np.linalg.norm(encoder.encode_patches(spotted).embeddings - before, axis=-1)
        found = np.unravel_index(change.argmax(), change.shape)
        assert abs(found[0] - row) <= 1
        assert abs(found[1] - column) <= 1


def test_a_transformers_last_block_leaves_each_patch_to_itself(tmp_path: Path) -> None:
    """With one block, a patch's embedding hangs on its own pixels alone."""
    tiny = ImageTextEncoder(tiny_model(tmp_path / "vit"))  # 32 px, patches of 16, one block
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    other = noise.copy()
    other[:16, 16:] = 255 - other[:16, 16:]
    before, after = (tiny.encode_patches(Image.fromarray(p)).embeddings for p in (noise, other))
    np.testing.assert_allclose(np.linalg.norm(before, axis=-1), 1, atol=1e-5)
    changed = np.abs(after - before).max(axis=-1) > 1e-6
    assert changed.tolist() == [[False, True], [False, False]]


def test_towers_that_cannot_be_read_say_so(tmp_path: Path) -> None:
    pooled = {**TINY["model_cfg"]["vision_cfg"], "attentional_pool": True, "attn_pooler_heads": 2}  # type: ignore[index]
    config = {**TINY, "model_cfg": {**TINY["model_cfg"], "vision_cfg": pooled}}  # type: ignore[dict-item]
    coca = ImageTextEncoder(tiny_model(tmp_path / "pooled", config=config))
    assert not coca.has_patches
    with pytest.raises(NotImplementedError, match="VisionTransformer cannot be read"):
        coca.encode_patches(Image.new("RGB", (32, 32)))


@pytest.mark.parametrize(
    ("mode", "size", "box"),
    [
        ("shortest", (200, 100), (0.25, 0, 0.75, 1)),
        ("shortest", (100, 100), (0, 0, 1, 1)),
        ("longest", (200, 100), (0, -0.5, 1, 1.5)),
        ("squash", (200, 100), (0, 0, 1, 1)),
    ],
)
def test_the_box_says_what_preprocessing_left(
    tmp_path: Path, mode: str, size: tuple[int, int], box: tuple[float, ...]
) -> None:
    config = {**TINY, "preprocess_cfg": {**TINY["preprocess_cfg"], "resize_mode": mode}}  # type: ignore[dict-item]
    encoder = ImageTextEncoder(tiny_model(tmp_path / "model", config=config))
    assert encoder.encode_patches(Image.new("RGB", size)).box == box


@pytest.mark.parametrize(
    ("phrase", "some", "never"),
    [
        ("red", {"blue", "green"}, {"red", "sofa"}),
        ("a red sofa", {"chair", "lamp"}, {"sofa", "red", "blue"}),
        ("on the beach", {"snow"}, {"beach"}),
        ("something cosy", {"sofa", "chair"}, {"red"}),
    ],
)
def test_contrast_phrases_are_what_could_be_there_instead(
    phrase: str, some: set[str], never: set[str]
) -> None:
    found = set(contrast_phrases(phrase, FACETS, "category").phrases)
    assert some <= found
    assert not never & found


def test_a_gallery_without_words_has_contrast_phrases_too() -> None:
    assert len(contrast_phrases("a red sofa", (), None).phrases) == 3
    assert contrast_phrases("a red sofa", (), None).facet is None


def test_relevance_is_the_phrases_share() -> None:
    rows = torch.nn.functional.normalize(torch.eye(3), dim=-1).numpy().astype(np.float32)
    patches = Patches(rows[None], (0, 0, 1, 1))  # a row of three: phrase, contrast, neither
    relevance = relevance_map(patches, rows[0], rows[1:2], logit_scale=10)
    expected = [1 / (1 + np.exp(-10)), 1 / (1 + np.exp(10)), 0.5]
    np.testing.assert_allclose(relevance[0], expected, rtol=1e-5)
