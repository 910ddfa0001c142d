"""GeneCIS: every query ranks its own fifteen images."""

from pathlib import Path

from indexer.evaluation.benchmarks import genecis
from indexer.evaluation.scoring import means, score
from indexer.evaluation.types import Query
from tests.indexer.evaluation.benchmarks.published import at_hand, write_genecis, write_images


def test_queries_as_published(tmp_path: Path) -> None:
    (query,) = genecis.read(write_genecis(tmp_path), "focus_object").queries
    assert query == Query(
        query_id="0",
        reference_id="1",
        text="toaster",
        relevant_ids=("2",),
        excludes_reference=False,
        among=tuple(str(image_id) for image_id in (*range(3, 17), 2)),
    )


def test_a_target_among_the_distractors_is_there_once(tmp_path: Path) -> None:
    (query,) = genecis.read(write_genecis(tmp_path), "change_object").queries
    assert query.among == tuple(str(image_id) for image_id in range(2, 16))


def test_a_ranking_of_more_images_is_cut_to_the_gallery(tmp_path: Path) -> None:
    benchmark = genecis.read(write_genecis(tmp_path), "focus_object")
    figures = means(benchmark, score(benchmark, {"0": ["1", "17", "3", "2"]}))
    assert figures == {"recall@1": 0.0, "recall@2": 1.0, "recall@3": 1.0}


def test_the_gallery_is_what_the_task_names(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", "genecis", "focus_object")
    rows = genecis.gallery(write_genecis(tmp_path), images, "focus_object")
    assert [row["image_id"] for row in rows] == [str(image_id) for image_id in range(1, 17)]
    assert rows[-1]["image"] == str(images / "000000000016.jpg")


def test_the_published_galleries_have_fifteen_images() -> None:
    for task, smaller in (("focus_object", 0), ("change_object", 1)):
        queries = genecis.read(at_hand("genecis"), task).queries
        sizes = [len(query.among) for query in queries]
        assert set(sizes) <= {14, 15}
        assert sizes.count(14) == smaller
        assert all(query.reference_id not in query.among for query in queries)
