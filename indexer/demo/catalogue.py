"""Writes a demo catalogue to a folder: pictures, `manifest.jsonl` and `queries.jsonl`.

The manifest is written last and atomically: a folder with a manifest is complete.
"""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from indexer.demo import language
from indexer.demo.queries import ComposedQuery, compose_queries
from indexer.demo.questions import make_questions
from indexer.demo.render import item_boxes, render_scene
from indexer.demo.scene import Item, Scene, Split, sample_scenes, with_finishes
from indexer.demo.typed.queries import TypedQuery, compose_typed_queries
from models.errors import InputError

MANIFEST_NAME = "manifest.jsonl"
QUERIES_NAME = "queries.jsonl"
QUESTIONS_NAME = "questions.jsonl"
TEMPLATES = "templates"  # the family of the queries that are not typed
CAPTIONS_PER_IMAGE = 8
_JPEG_QUALITY = 92


def write_catalogue(
    out: Path,
    images: int,
    seed: int,
    split: Split,
    size_px: int = 160,
    queries: int = 1000,
    typed_queries: int = 0,
    families: bool | None = None,
    questions: int = 0,
    finishes: bool = False,
) -> Path:
    """Render a catalogue.

    Args:
        out: Folder to write into; made if absent.
        images: How many pictures.
        seed: Same arguments give the same catalogue.
        split: "train", "validation" or "test", see `scene.sample_scenes`.
        size_px: Width and height of the pictures.
        queries: The most composed queries of templates to write.
        typed_queries: The most queries in the words people type; the split "train" has none.
        families: Whether scenes come with near neighbours, see `scene.sample_scenes`.
        questions: Yes-or-no questions per picture, written to `questions.jsonl` if any.
        finishes: Whether items have a `finish`, a facet that the shipped models do not know.

    Returns:
        Path of the manifest.

    Raises:
        InputError: `images` or `size_px` is below 1.
    """
    if size_px < 1:
        raise InputError(f"pictures need at least 1 pixel, got size {size_px}")
    scenes = sample_scenes(images, seed, split, families)
    if finishes:
        scenes = [with_finishes(scene) for scene in scenes]
    (out / "images").mkdir(parents=True, exist_ok=True)
    (out / MANIFEST_NAME).unlink(missing_ok=True)
    _render_all(out, scenes, split, size_px)
    composed = compose_queries(scenes, split, seed, queries)
    typed = compose_typed_queries(scenes, split, seed, typed_queries)
    _write_lines(
        out / QUERIES_NAME,
        [_query_row(split, number, q) for number, q in enumerate(composed)]
        + [_typed_row(split, number, q) for number, q in enumerate(typed)],
    )
    if questions:
        _write_lines(
            out / QUESTIONS_NAME,
            [_questions_row(split, number, s, questions) for number, s in enumerate(scenes)],
        )
    _write_lines(
        out / MANIFEST_NAME, [_image_row(split, number, s) for number, s in enumerate(scenes)]
    )
    return out / MANIFEST_NAME


def image_id(split: Split, number: int) -> str:
    """The id of a split's picture: stable, readable, and different in every split."""
    return f"{split}-{number:06d}"


def _render_all(out: Path, scenes: Sequence[Scene], split: Split, size_px: int) -> None:
    render = partial(_render_file, out=out / "images", split=split, size_px=size_px)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(render, enumerate(scenes), chunksize=32)
        for _ in tqdm(done, total=len(scenes), desc="render", unit="image"):
            pass


def _render_file(numbered: tuple[int, Scene], out: Path, split: Split, size_px: int) -> None:
    number, scene = numbered
    path = out / f"{image_id(split, number)}.jpg"
    render_scene(scene, size_px).save(path, "JPEG", quality=_JPEG_QUALITY)


def _image_row(split: Split, number: int, scene: Scene) -> dict[str, Any]:
    said = language.captions(scene, CAPTIONS_PER_IMAGE)
    return {
        "image": f"images/{image_id(split, number)}.jpg",
        "image_id": image_id(split, number),
        "caption": said[0],
        "captions": said,
        "attributes": scene.attributes(),
        "items": [
            _known(item) | {"box": box}
            for item, box in zip(scene.items, item_boxes(scene), strict=True)
        ],
        "held_out": scene.is_held_out,
    }


def _known(item: Item) -> dict[str, str]:
    return {facet: value for facet, value in asdict(item).items() if value}


def _query_row(split: Split, number: int, query: ComposedQuery) -> dict[str, Any]:
    return {
        "query_id": f"{split}-q{number:05d}",
        "family": TEMPLATES,
        "edit": query.edit,
        "reference_image_id": image_id(split, query.reference),
        "modification_text": query.modification_text,
        "target": query.target,
        "preserve": query.preserve,
        "desired": query.desired,
        "forbidden": query.forbidden,
        "target_image_ids": [image_id(split, answer) for answer in query.answers],
        "held_out": query.held_out,
    }


def _typed_row(split: Split, number: int, query: TypedQuery) -> dict[str, Any]:
    return {
        "query_id": f"{split}-t{number:05d}",
        "family": query.family,
        "edit": f"{query.family}: {query.edit}",
        "reference_image_id": image_id(split, query.reference),
        "modification_text": query.text,
        "target_image_ids": [image_id(split, answer) for answer in query.answers],
        "unanswerable": query.unanswerable,
    }


def _questions_row(split: Split, number: int, scene: Scene, count: int) -> dict[str, Any]:
    return {
        "image_id": image_id(split, number),
        "questions": [
            [question.phrase, question.answer] for question in make_questions(scene, count)
        ],
    }


def _write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    partial_path = path.with_suffix(".partial")
    with partial_path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    partial_path.replace(path)
