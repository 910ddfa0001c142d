"""A gallery of embeddings that exist already: the encoder's own, and found out if they are not."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from indexer.gallery import open_reader
from indexer.gallery.image_store import ImageStore
from indexer.pipeline.command import run
from indexer.pipeline.options import BuildOptions
from models.datasets.images import ImageLimits, decode_image
from models.datasets.manifest import read_folder
from models.encoder.encoder import ImageTextEncoder
from models.errors import InputError, JobError
from tests.conftest import environment_of, indexer_settings

IMAGES = 20


@pytest.fixture
def embedded(tmp_path: Path, encoder: ImageTextEncoder) -> Path:
    """A folder of images and of the encoder's embeddings of them, in two parts."""
    rng = np.random.default_rng(0)
    images = tmp_path / "images-in"
    images.mkdir()
    for number in range(IMAGES):
        noise = rng.integers(0, 255, (8, 8, 3), np.uint8)
        Image.fromarray(noise).resize((64, 64)).save(images / f"{number:02d}.png")
    made: list[Any] = []
    rows = read_folder(images)
    for row in rows:
        picture = decode_image(row.read_bytes(), ImageLimits())
        made.append(encoder.encode_preprocessed([encoder.preprocess(picture)])[0])
    out = tmp_path / "embeddings"
    for folder in (out / "img_emb", out / "metadata"):
        folder.mkdir(parents=True)
    for part in range(2):
        some = slice(part * IMAGES // 2, (part + 1) * IMAGES // 2)
        np.save(out / f"img_emb/img_emb_{part}.npy", 3 * np.stack(made[some]).astype(np.float16))
        data = [Path(row.location).read_bytes() for row in rows[some]]
        table = {
            "image_path": [row.image_id for row in rows[some]],
            "colour": ["red", "blue"] * (len(data) // 2),
            "sha256": [hashlib.sha256(each).hexdigest() for each in data],
            "width": [64] * len(data),
            "height": [64] * len(data),
        }
        pq.write_table(pa.table(table), out / f"metadata/metadata_{part}.parquet")
    return out


@pytest.fixture
def options(tmp_path: Path, embedded: Path, monkeypatch: pytest.MonkeyPatch) -> BuildOptions:
    settings = indexer_settings(tmp_path)
    for name, value in environment_of(settings.gallery).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CIR_INDEXER__IMAGE_STORE", str(settings.image_store))
    return BuildOptions(
        embeddings=embedded,
        images=tmp_path / "images-in",
        attributes="colour",
        report=tmp_path / "report.json",
    )


@pytest.mark.parametrize("copies", [True, False])
def test_given_embeddings_are_taken_over_and_the_gallery_is_the_encoders(
    copies: bool,
    options: BuildOptions,
    tmp_path: Path,
    encoder: ImageTextEncoder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CIR_INDEXER__MAKE_COPIES", str(copies))
    said = "\n".join(run(options))
    assert "of 20 images, the median cosine to the encoder's own is 1.000" in said
    assert "20 of 20 images in the gallery (0 embedded, 0 taken over, 20 given)" in said
    settings = indexer_settings(tmp_path)
    reader = open_reader(settings.gallery)
    generation = reader.current()
    assert generation.spec.encoder_fingerprint == encoder.fingerprint
    assert [facet.name for facet in generation.spec.facets] == ["colour"]
    picture = decode_image((tmp_path / "images-in" / "07.png").read_bytes(), ImageLimits())
    own = encoder.encode_preprocessed([encoder.preprocess(picture)])
    (best, *_) = reader.search(generation, own, 3)
    reader.close()
    assert best.image.image_id == "07.png"
    assert best.retrieval_score == pytest.approx(1, abs=1e-3)
    sides = (generation.spec.thumbnail_px, generation.spec.rerank_px)
    assert ImageStore(settings.image_store).has(best.image.content_hash, sides) == copies


def test_another_encoders_embeddings_are_refused(
    options: BuildOptions, embedded: Path, tmp_path: Path
) -> None:
    part = embedded / "img_emb/img_emb_0.npy"
    stored = np.load(part)
    rng = np.random.default_rng(0)
    np.save(part, rng.normal(size=stored.shape).astype(np.float16))
    np.save(embedded / "img_emb/img_emb_1.npy", rng.normal(size=stored.shape).astype(np.float32))
    with pytest.raises(InputError, match="not those of .* the median cosine between"):
        list(run(options))
    np.save(part, stored[:, :-1])
    with pytest.raises(InputError, match="dimensions, and those of"):
        list(run(options))
    for image in (tmp_path / "images-in").iterdir():
        image.unlink()
    np.save(part, stored)
    np.save(embedded / "img_emb/img_emb_1.npy", stored)
    with pytest.raises(InputError, match="cannot be compared with the encoder's"):
        list(run(options))
    assert not (tmp_path / "report.json").exists()


def test_an_embedding_without_a_direction_costs_its_row(
    options: BuildOptions, embedded: Path
) -> None:
    part = embedded / "img_emb/img_emb_0.npy"
    stored = np.load(part)
    stored[3] = 0
    np.save(part, stored)
    said = "\n".join(run(options))
    assert "19 of 20 images in the gallery" in said
    assert "skipped, bad embedding: 1" in said


def test_without_copies_a_row_must_describe_its_image(
    options: BuildOptions, embedded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIR_INDEXER__MAKE_COPIES", "false")
    for path in (embedded / "metadata").iterdir():
        pq.write_table(pq.read_table(path).drop_columns(["sha256"]), path)
    with pytest.raises(JobError, match="20 of 20 images could not be used"):
        list(run(options))
