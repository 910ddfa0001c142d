"""Hard negatives from the coarse stage itself: what it ranks high and should not."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from models.composition.composer import Composer, RememberedTexts
from models.contracts.gallery import GallerySpec
from models.contracts.intent import Roles
from models.encoder import ImageTextEncoder
from models.presets import Preset
from models.reranker import prompt
from models.training.judge.lessons import Lessons

_LEFT_OUT = {"source"}


def mine(
    lessons: Lessons, images: Sequence[Path], preset: Preset, queries: int, depth: int, seed: int
) -> dict[int, list[int]]:
    """Search for the right intents of some queries, as the coarse stage does.

    Args:
        lessons: The catalogue and its queries.
        images: The files of its pictures, in order.
        preset: Whose encoder and composition search.
        queries: How many of the queries, chosen at random.
        depth: How many of the first ranks to look at.
        seed: Chooses the queries.

    Returns:
        Query number → the wrong pictures among its first ranks, best first; the reference is left
        out, and so are queries without any.
    """
    encoder = ImageTextEncoder(preset.encoder)
    gallery = _embed(encoder, images)
    spec = GallerySpec(
        encoder_fingerprint=encoder.fingerprint,
        embedding_dim=encoder.embedding_dim,
        preset="for training",
        rerank_px=preset.rerank_px,
        thumbnail_px=preset.rerank_px,
        built_at="for training",
    )
    texts = RememberedTexts(encoder.encode_texts, encoder.embedding_dim)
    composer = Composer(spec, texts.encode, preset.composition)
    count = min(queries, len(lessons.queries))
    mined = {}
    for number in tqdm(random.Random(seed).sample(range(len(lessons.queries)), count), "mine"):
        query = lessons.queries[number]
        roles = Roles(**prompt.read_intent(query.intent).model_dump(exclude=_LEFT_OUT))
        reference = gallery[query.reference]
        intent = composer.intent(reference, query.text, roles)
        similarity = gallery @ composer.embed("intersection", reference, query.text, intent)
        first = np.argpartition(-similarity, depth)[:depth]
        ranked = first[np.argsort(-similarity[first], kind="stable")].tolist()
        wrong = [n for n in ranked if n not in query.answers and n != query.reference]
        if wrong:
            mined[number] = wrong
    return mined


def _embed(encoder: ImageTextEncoder, images: Sequence[Path]) -> np.ndarray:
    rows = []
    for start in tqdm(range(0, len(images), encoder.batch_size), "embed", unit="batch"):
        chunk = []
        for path in images[start : start + encoder.batch_size]:
            with Image.open(path) as image:
                chunk.append(image.convert("RGB"))
        rows.append(encoder.encode_images(chunk))
    return np.concatenate(rows)
