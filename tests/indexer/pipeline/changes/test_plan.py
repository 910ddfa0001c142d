"""Changes to a gallery: that they end where a build would, embed no more than they must, and stop
where they should.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexer.gallery import open_reader, open_writer
from indexer.gallery.ports import GalleryWriter, StoredImage
from indexer.pipeline.build import build_gallery
from indexer.pipeline.changes.held import ChangeRefused, Held, read_held
from indexer.pipeline.changes.plan import Plan, apply, plan_addition, plan_removal, plan_sync
from indexer.pipeline.report import BuildReport
from indexer.settings import IndexerSettings
from models.contracts.gallery import AttributeValue, GallerySpec
from models.datasets.manifest import ImageRow
from models.datasets.rows import ImageRows
from models.datasets.schema import SchemaError, guessed
from models.encoder.encoder import ImageTextEncoder
from tests.conftest import build, indexer_settings
from tests.indexer.pipeline.test_build import noise
from tests.models.encoder.test_encoder import tiny_model

COLOURS = ("red", "blue", "green")
PICTURES = 14


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ImageTextEncoder:
    return ImageTextEncoder(tiny_model(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / f"{number}.png" for number in range(PICTURES)]
    for number, path in enumerate(paths):
        noise(number).save(path)
    return paths


@contextmanager
def writing(settings: IndexerSettings) -> Iterator[tuple[GalleryWriter, Held]]:
    writer = open_writer(settings.gallery)
    try:
        yield writer, read_held(writer, None)
    finally:
        writer.close()


def sync(
    rows: Sequence[ImageRow], encoder: ImageTextEncoder, settings: IndexerSettings, **options: Any
) -> tuple[Plan, BuildReport | None]:
    """The plan, and what was done; None: there was nothing to do."""
    with writing(settings) as (writer, held):
        plan = plan_sync(rows, held, encoder, settings, **options)
        return plan, None if plan.changes_nothing else apply(plan, encoder, writer, settings)


def contents(settings: IndexerSettings) -> tuple[GallerySpec, dict[str, StoredImage]]:
    """What is in service, but for when it was built."""
    reader = open_reader(settings.gallery)
    current = reader.current()
    ids = [image.image_id for image in reader.scroll(current, 1000).images]
    images = reader.fetch(current, ids)
    assert reader.count(current) == len(images)
    reader.close()
    spec = current.spec.model_copy(update={"built_at": ""})
    return spec, {each.image.image_id: each for each in images}


def assert_same(one: IndexerSettings, other: IndexerSettings) -> None:
    (spec, images), (other_spec, others) = contents(one), contents(other)
    assert spec == other_spec
    assert {k: v.image for k, v in images.items()} == {k: v.image for k, v in others.items()}
    for image_id, each in images.items():
        np.testing.assert_allclose(each.embedding, others[image_id].embedding, atol=1e-5)


def row(image_id: str, path: Path, colour: str = "red", **more: Any) -> ImageRow:
    return ImageRow(image_id, str(path), attributes={"colour": colour, **more})


def streamed(rows: Sequence[ImageRow]) -> ImageRows:
    """Rows as a source gives them."""
    given = ImageRows()
    for line, each in enumerate(rows):
        cells = {name: guessed(str(value)) for name, value in each.attributes.items()}
        plain = ImageRow(each.image_id, each.location, each.caption, {}, each.payload)
        given.add(plain, {name: cell for name, cell in cells.items() if cell is not None}, line)
    return given


def some_attributes(rng: random.Random) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {"colour": rng.choice(COLOURS)}
    if rng.random() < 0.5:
        attributes["size"] = rng.choice([36, 37.5])
    if rng.random() < 0.2:
        attributes["label"] = rng.choice(["M", "L"])
    return attributes


def some_manifest(rng: random.Random, pictures: Sequence[Path]) -> list[ImageRow]:
    """Ids with pictures, some of them twice, in any order, with attributes that come and go."""
    ids = rng.sample(range(12), rng.randint(4, 10))
    return [
        ImageRow(
            f"id-{number}",
            str(rng.choice(pictures)),
            caption=rng.choice([None, "a caption", "another"]),
            attributes=some_attributes(rng),
            payload={"shelf": rng.randint(1, 3)},
        )
        for number in ids
    ]


@pytest.mark.parametrize("seed", range(2))
def test_ten_syncs_of_a_changing_manifest_give_what_a_build_of_the_last_gives(
    seed: int, pictures: list[Path], tiny: ImageTextEncoder, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    synced, clean = indexer_settings(tmp_path / "synced"), indexer_settings(tmp_path / "clean")
    build(some_manifest(rng, pictures), tiny, synced)
    for _ in range(10):
        manifest = some_manifest(rng, pictures)
        sync(manifest, tiny, synced)
        again, done = sync(manifest, tiny, synced)
        assert done is None, list(again.lines())
    build(manifest, tiny, clean)
    assert_same(synced, clean)


def test_only_new_pictures_are_embedded(
    pictures: list[Path], tiny: ImageTextEncoder, tmp_path: Path
) -> None:
    settings = indexer_settings(tmp_path)
    build([row(f"{n}", pictures[n]) for n in range(6)], tiny, settings)
    changed = [
        row("0", pictures[0]),
        row("1", pictures[1], "blue"),
        row("2", pictures[7]),
        row("renamed", pictures[3]),
        row("new", pictures[8]),
        row("4", pictures[4]),
    ]
    plan, report = sync(changed, tiny, settings, max_removed=0.5)
    assert plan.as_dict() == {"added": 2, "replaced": 1, "rewritten": 1, "removed": 2}
    assert set(plan.removed.first) == {"3", "5"}
    assert report is not None
    assert (report.embedded, report.indexed) == (2, 6)
    _, images = contents(settings)
    assert images["1"].image.attributes == {"colour": "blue"}


def test_nothing_to_do_makes_no_generation(
    pictures: list[Path], tiny: ImageTextEncoder, tmp_path: Path
) -> None:
    settings = indexer_settings(tmp_path)
    rows = [row(f"{n}", pictures[n]) for n in range(4)]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    build(rows, tiny, settings)
    with writing(settings) as (writer, _):
        before = writer.generations()
    plan, done = sync([*rows, row("twin", pictures[0]), row("broken", broken)], tiny, settings)
    assert done is None
    assert [skip.reason for skip in plan.skipped] == ["duplicate", "not_an_image"]
    with writing(settings) as (writer, _):
        assert writer.generations() == before


def test_a_plan_writes_nothing(
    pictures: list[Path], tiny: ImageTextEncoder, tmp_path: Path
) -> None:
    settings = indexer_settings(tmp_path)
    build([row(f"{n}", pictures[n]) for n in range(4)], tiny, settings)
    copies = sorted(settings.image_store.rglob("*"))
    with writing(settings) as (writer, held):
        before = writer.generations()
        rows = [row(f"{n}", pictures[n]) for n in range(2, 6)]
        plan = plan_sync(rows, held, tiny, settings, dry_run=True)
        lines = list(plan.lines())
        assert lines[0] == "added: 2 (4, 5)"
        assert lines[1] in ("removed: 2 (0, 1)", "removed: 2 (1, 0)")
        assert lines[2:] == [f"images: 4 in {before[0].name}, 4 after"]
        assert writer.generations() == before
    assert sorted(settings.image_store.rglob("*")) == copies


def test_more_removals_than_allowed_are_refused(
    pictures: list[Path], tiny: ImageTextEncoder, tmp_path: Path
) -> None:
    """Also where rows are there and their files are not."""
    settings = indexer_settings(tmp_path)
    build([row(f"{n}", pictures[n]) for n in range(10)], tiny, settings)
    gone = [row(f"{n}", tmp_path / "gone.png") for n in range(7, 10)]
    left = [row(f"{n}", pictures[n]) for n in range(7)]
    for rows in (left, [*left, *gone]):
        with pytest.raises(ChangeRefused, match="3 of 10 images would be removed, more than 20%"):
            sync(rows, tiny, settings, max_removed=0.2)
    assert len(contents(settings)[1]) == 10
    sync(left, tiny, settings, max_removed=0.3)
    assert len(contents(settings)[1]) == 7


def test_too_many_files_that_cannot_be_used_are_refused(
    pictures: list[Path], tiny: ImageTextEncoder, tmp_path: Path
) -> None:
    settings = indexer_settings(tmp_path)
    build([row("0", pictures[0])], tiny, settings)
    rows = [row("0", pictures[0]), *(row(f"gone-{n}", tmp_path / "gone.png") for n in range(2))]
    with pytest.raises(ChangeRefused, match="2 of 3 images cannot be used"):
        sync(rows, tiny, settings)


def test_another_encoders_gallery_is_not_changed(
    pictures: list[Path], tiny: ImageTextEncoder, tmp_path: Path
) -> None:
    settings = indexer_settings(tmp_path)
    writer = open_writer(settings.gallery)
    try:
        with pytest.raises(Exception, match="there is no gallery to change yet"):
            read_held(writer, tiny.fingerprint)
        build_gallery([row("0", pictures[0])], tiny, writer, settings)
        with pytest.raises(ChangeRefused, match="was embedded by .*, the settings name other-1"):
            read_held(writer, "other-1")
    finally:
        writer.close()


def test_an_addition_leaves_the_others_and_extends_the_schema(
    pictures: list[Path], tiny: ImageTextEncoder, tmp_path: Path
) -> None:
    settings, clean = indexer_settings(tmp_path / "added"), indexer_settings(tmp_path / "clean")
    first = [row(f"{n}", pictures[n], COLOURS[n % 2], size=n) for n in range(5)]
    more = [
        row("5", pictures[5], "green", size=5, setting="snow"),
        row("0", pictures[6], "blue", size=0),
        row("twin", pictures[1]),
        row("1", tmp_path / "gone.png"),
    ]
    build(first, tiny, settings)
    with writing(settings) as (writer, held):
        plan = plan_addition(streamed(more), held, writer, settings)
        report = apply(plan, tiny, writer, settings)
    assert plan.as_dict() == {"added": 1, "replaced": 1, "rewritten": 0, "removed": 0}
    assert [skip.reason for skip in plan.skipped] == ["duplicate", "unreadable"]
    assert report.embedded == 2
    build([more[1], *first[1:], more[0]], tiny, clean)
    assert_same(settings, clean)
    spec, _ = contents(settings)
    assert {facet.name: facet.context for facet in spec.facets}["setting"]


def test_an_addition_of_words_where_the_gallery_has_numbers_is_refused(
    pictures: list[Path], tiny: ImageTextEncoder, tmp_path: Path
) -> None:
    settings = indexer_settings(tmp_path)
    build([row("0", pictures[0], size=36)], tiny, settings)
    with (
        writing(settings) as (writer, held),
        pytest.raises(SchemaError, match="the attribute size has words that do not fit"),
    ):
        plan_addition(streamed([row("1", pictures[1], size="M")]), held, writer, settings)


def test_numbers_are_words_where_the_gallery_has_words(
    pictures: list[Path], tiny: ImageTextEncoder, tmp_path: Path
) -> None:
    settings = indexer_settings(tmp_path)
    build([row("0", pictures[0], size="M")], tiny, settings)
    with writing(settings) as (writer, held):
        rows = streamed([row("1", pictures[1], size="2.50")])
        apply(plan_addition(rows, held, writer, settings), tiny, writer, settings)
    assert contents(settings)[1]["1"].image.attributes["size"] == "2.50"


def test_a_removal_takes_its_values_out_of_the_schema(
    pictures: list[Path], tiny: ImageTextEncoder, tmp_path: Path
) -> None:
    settings, clean = indexer_settings(tmp_path / "removed"), indexer_settings(tmp_path / "clean")
    rows = [row(f"{n}", pictures[n], COLOURS[n % 3], category="mug") for n in range(6)]
    build(rows, tiny, settings)
    with writing(settings) as (writer, held):
        plan = plan_removal(["1", "4", "nobody"], held, writer, settings)
        assert plan.removed.count == 2
        apply(plan, None, writer, settings)
    build([each for each in rows if each.image_id not in ("1", "4")], tiny, clean)
    assert_same(settings, clean)
    with (
        writing(settings) as (writer, held),
        pytest.raises(ChangeRefused, match="none of the 4 images would be left"),
    ):
        plan_removal(["0", "2", "3", "5"], held, writer, settings)


def test_copies_that_are_gone_are_made_again(
    pictures: list[Path], tiny: ImageTextEncoder, tmp_path: Path
) -> None:
    settings = indexer_settings(tmp_path)
    rows = [row(f"{n}", pictures[n]) for n in range(3)]
    build(rows, tiny, settings)
    copies = sorted(settings.image_store.rglob("*.jpg"))
    copies[0].unlink()
    _, done = sync(rows, tiny, settings)
    assert done is None
    assert sorted(settings.image_store.rglob("*.jpg")) == copies
