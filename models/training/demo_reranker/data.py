"""What a demo catalogue holds for a reranker: descriptions, questions, composed queries, wrong
candidates.
"""

import json
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from models.contracts.intent import Intent
from models.encoder.encoder import ImageTextEncoder
from models.presets import Preset
from models.reranker import intent_format
from models.reranker.prompts import CIR, QWEN_VL, Prompt
from models.training.retrieval import InMemoryRetriever, embed

PROMPT = Prompt(CIR, QWEN_VL)  # what the reranker is trained on
_DESCRIBE = f"<|im_start|>user\n{QWEN_VL.picture}\nDescribe it.{QWEN_VL.answer_begins}"


@dataclass(frozen=True)
class Query:
    """A composed query with its right answers, by row number of the manifest."""

    reference: int
    text: str
    edit: str
    target: str
    intent: str
    answers: frozenset[int]


@dataclass(frozen=True)
class DemoData:
    """Everything a reranker learns from a catalogue.

    Attributes:
        captions: One canonical caption per picture.
        questions: (phrase, answer) pairs per picture.
        queries: Composed queries.
        items: What each picture shows, as (kind, colour, pattern) tuples.
    """

    captions: list[str]
    questions: list[list[tuple[str, bool]]]
    queries: list[Query]
    items: list[tuple[tuple[str, str, str], ...]]

    def texts(self) -> list[str]:
        """A sample of all that is said, for a tokenizer to learn words from."""
        said = [
            PROMPT.start,
            PROMPT.compose_instruction or "",
            PROMPT.candidate(None),
            _DESCRIBE,
        ] * 50
        said += [PROMPT.yes, PROMPT.no] * 500  # each must become one token
        said += self.captions[:20000]
        for query in self.queries[:40000]:
            said += [PROMPT.request(query.text), query.intent, PROMPT.candidate(query.target)]
        return said


def read_examples(folder: Path, limit: int | None = None) -> DemoData:
    """Read a demo catalogue; made with `--questions` if a base is to be trained on it.

    Args:
        folder: Where its manifest, queries and questions are.
        limit: Use only the first so many pictures, and the queries that can be asked of them.

    Raises:
        FileNotFoundError: The manifest or queries are missing.
    """
    rows = _lines(folder / "manifest.jsonl")[:limit]
    numbers = {row["image_id"]: number for number, row in enumerate(rows)}
    questions = folder / "questions.jsonl"
    asked = [row["questions"] for row in _lines(questions)] if questions.exists() else []
    queries = [
        Query(
            reference=numbers[row["reference_image_id"]],
            text=row["modification_text"],
            edit=row["edit"],
            target=row["target"],
            intent=intent_format.format_intent(
                row["target"], row["preserve"], row["desired"], row["forbidden"]
            ),
            answers=frozenset(numbers[i] for i in row["target_image_ids"] if i in numbers),
        )
        for row in _lines(folder / "queries.jsonl")
        if row["reference_image_id"] in numbers and row.get("family", "templates") == "templates"
    ]
    return DemoData(
        captions=[row["caption"] for row in rows],
        questions=[[(phrase, answer) for phrase, answer in own] for own in asked[:limit]],
        queries=[query for query in queries if query.answers],
        items=[tuple((i["kind"], i["colour"], i["pattern"]) for i in row["items"]) for row in rows],
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Negatives:
    """Draws wrong candidates for a query, the hard ones first."""

    def __init__(
        self, examples: DemoData, mined: Mapping[Query, Sequence[int]] | None = None
    ) -> None:
        """`mined`: wrong pictures that the coarse stage found for some of the queries."""
        self._items = examples.items
        self._mined = mined or {}
        self._near: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for number, items in enumerate(examples.items):
            for item in items:
                for left_out in range(3):
                    self._near[(str(len(items)), *_without(item, left_out))].append(number)

    def draw(self, query: Query, count: int, rng: random.Random) -> list[int]:
        """The reference; what the coarse stage mistook; its family; pictures that miss the target
        by one facet; a few random ones.
        """
        drawn: list[int] = [query.reference] if query.reference not in query.answers else []
        while len(drawn) < count:
            number = self._one(query, rng)
            if number not in query.answers:
                drawn.append(number)
        return drawn[:count]

    def _one(self, query: Query, rng: random.Random) -> int:
        if query in self._mined and rng.random() < 0.5:
            return rng.choice(self._mined[query])
        chance = rng.random()
        if chance < 0.35:  # families stand together in a catalogue
            near = query.reference + rng.randint(-12, 12)
            return min(max(near, 0), len(self._items) - 1)
        if chance < 0.9:
            items = self._items[rng.choice(sorted(query.answers))]
            key = (str(len(items)), *_without(rng.choice(items), rng.randrange(3)))
            return rng.choice(self._near[key])
        return rng.randrange(len(self._items))


def _without(item: tuple[str, str, str], left_out: int) -> tuple[str, ...]:
    return tuple("*" if i == left_out else word for i, word in enumerate(item))


def mine(
    examples: DemoData, images: Sequence[Path], preset: Preset, queries: int, depth: int, seed: int
) -> dict[int, list[int]]:
    """Search for the right intents of some queries, as the coarse stage does.

    Args:
        examples: The catalogue and its queries.
        images: The files of its pictures, in order.
        preset: Whose encoder and composition search.
        queries: How many of the queries, chosen at random.
        depth: How many of the first ranks to look at.
        seed: Chooses the queries.

    Returns:
        Query number → the wrong pictures among its first ranks, best first; the reference is left
        out, and so are queries without any.
    """

    def decode(number: int) -> Image.Image:
        with Image.open(images[number]) as image:
            return image.convert("RGB")

    encoder = ImageTextEncoder(preset.encoder)
    coarse = InMemoryRetriever(encoder, preset, embed(encoder, len(images), decode))
    count = min(queries, len(examples.queries))
    chosen = random.Random(seed).sample(range(len(examples.queries)), count)
    intents = {
        number: Intent(
            **intent_format.parse_intent(examples.queries[number].intent).model_dump(
                include=set(Intent.model_fields)
            )
        )
        for number in chosen
    }
    coarse.embed_texts((examples.queries[number].text, intents[number]) for number in chosen)
    mined = {}
    for number in tqdm(chosen, "mine"):
        query = examples.queries[number]
        ranked = coarse.search(query.reference, query.text, intents[number], depth)
        wrong = [n for n in ranked if n not in query.answers and n != query.reference]
        if wrong:
            mined[number] = wrong
    return mined
