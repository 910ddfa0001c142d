"""What each part of understanding a text is worth: everything, and everything but one part.

    python -m tests.benchmarks.ablation --gallery data/qdrant --texts data/demo/queries.jsonl

Offline: the built gallery is read once and searched whole, in memory,
with the intents, the query embeddings and the attribute check of the service. The texts are those
of a demo catalogue, or any file whose lines are `{"family", "reference", "text", "targets"}`; of a
name such as `n_colour` the family is what stands before the `_`. Printed are recall@1 without the
attribute check and with it, recall@50, both flag rates, and recall@1 with the check by family.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, get_args

import numpy as np
from tqdm import tqdm

from indexer.gallery import open_reader
from indexer.gallery.errors import GalleryUnavailable
from indexer.gallery.settings import GallerySettings
from models.contracts.filter import are_met
from models.contracts.gallery import GalleryImage, GallerySpec
from models.encoder.encoder import ImageTextEncoder
from models.encoder.text_cache import TextEmbeddingCache
from models.encoder.types import Embedding, Embeddings
from models.presets import load_preset
from models.query.attribute_reader import still_possible
from models.query.composition import Composer
from models.query.intent_builder import IntentBuilder, IntentCandidate
from models.query.target import Target
from models.query.text.lexicon import lexicon_of
from models.query.text.linking import How, Linker
from models.query.text.sentence_encoder import sentence_encoder
from models.query.text.tokens import Token
from models.query.text_requests import answer

_RETRIEVED, _DEPTH = 100, 50
_REFUSING = {"refuse", "refuse_before", "remove", "remove_before", "replace", "instead", "where"}


@dataclass(frozen=True)
class Variant:
    """The understanding without some of its parts."""

    name: str
    without: frozenset[How] = frozenset()
    knows_attributes: bool = True
    knows_refusals: bool = True
    knows_alternatives: bool = True


VARIANTS = (
    Variant("everything"),
    Variant("reference read from its picture", knows_attributes=False),
    Variant("without slips in spelling", frozenset(["spelling"])),
    Variant("without names of colours", frozenset(["colour"])),
    Variant("without the thesaurus", frozenset(["synonym"])),
    Variant("without the sentence encoder", frozenset(["meaning"])),
    Variant("the gallery's own words alone", frozenset(get_args(How)) - {"word"}),
    Variant("without refusals", knows_refusals=False),
    Variant("choices left open", knows_alternatives=False),
)


@dataclass(frozen=True)
class TypedText:
    """A text, and the gallery images that are right."""

    family: str
    reference: str
    text: str
    targets: frozenset[str]
    unanswerable: bool = False


def read_texts(path: Path, families: Sequence[str]) -> list[TypedText]:
    """The texts of a file, of some families or all; templates are left out."""
    texts = []
    for row in map(json.loads, path.read_text("utf-8").splitlines()):
        family = row["family"].partition("_")[0]
        if family != "templates" and (not families or family in families):
            texts.append(
                TypedText(
                    family,
                    row.get("reference") or row["reference_image_id"],
                    row.get("text") or row["modification_text"],
                    frozenset(row.get("targets") or row["target_image_ids"]),
                    row.get("unanswerable", False),
                )
            )
    return texts


class _WithoutRefusals(Linker):
    """Takes no refusal for one: its words stand for themselves."""

    def named(self, tokens: Sequence[Token]) -> set[int]:
        refusing = [cue for cue in lexicon_of(tokens).cues(tokens) if cue.kinds & _REFUSING]
        spans = {at for cue in refusing for at in range(cue.start, cue.end)}
        return super().named(tokens) | spans


class _OpenChoices(IntentBuilder):
    """Says nothing of what may be one of several."""

    def _candidate(self, *arguments: Any) -> IntentCandidate:
        candidate = super()._candidate(*arguments)
        if candidate.target is None or candidate.intent.alternatives == ():
            return candidate
        sure = _without_choices(candidate.target)
        phrases = tuple(self._phrases(sure, {}))
        intent = candidate.intent.model_copy(update={"alternatives": phrases, "target": phrases[0]})
        return replace(candidate, intent=intent)


def _without_choices(target: Target) -> Target:
    def sure(allowed: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {facet: values for facet, values in allowed.items() if len(values) == 1}

    items = [replace(item, allowed=sure(item.allowed)) for item in target.items]
    return replace(target, items=items, context=sure(target.context))


@dataclass
class Gallery:
    """All images of a built gallery with their embeddings, (N, D)."""

    spec: GallerySpec
    images: list[GalleryImage]
    embeddings: Embeddings
    place: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.place = {image.image_id: at for at, image in enumerate(self.images)}

    @classmethod
    def read(cls, folder: Path) -> "Gallery":
        """The generation in service."""
        reader = open_reader(GallerySettings(path=folder))
        try:
            generation = reader.current()
            images: list[GalleryImage] = []
            rows: list[Embedding] = []
            offset: str | None = None
            while True:
                page = reader.scroll(generation, 500, offset=offset)
                stored = reader.fetch(generation, [image.image_id for image in page.images])
                images += [one.image for one in stored]
                rows += [one.embedding for one in stored]
                offset = page.next_offset
                if offset is None:
                    return cls(generation.spec, images, np.stack(rows))
        finally:
            reader.close()


@dataclass(frozen=True)
class Outcome:
    """What one text found: whether the first result is right, with the check and without, whether
    one of the first 50 is, and whether the answer is flagged.
    """

    text: TypedText
    first: bool
    unchecked: bool
    among_50: bool
    flagged: bool


class Bench:
    """One gallery, and the models that search it."""

    def __init__(self, gallery: Gallery, preset: str) -> None:
        self.gallery, shipped = gallery, load_preset(preset)
        encoder = ImageTextEncoder(shipped.encoder)
        self.encode = TextEmbeddingCache(encoder.encode_texts, encoder.embedding_dim).encode
        self.composer = Composer(gallery.spec, shipped.composition, shipped.understood)

    def builder(self, variant: Variant) -> IntentBuilder:
        """Composes intents without what the variant leaves out."""
        spec = self.gallery.spec
        if spec.noun_facet is None:
            raise SystemExit("the gallery has no facet that names the thing: no intents")
        kind = Linker if variant.knows_refusals else _WithoutRefusals
        encode = None if "meaning" in variant.without else sentence_encoder()
        linker = kind(spec.facets, spec.noun_facet, encode, variant.without)
        builder = IntentBuilder if variant.knows_alternatives else _OpenChoices
        return builder(spec.facets, spec.noun_facet, linker)

    def outcomes(self, variant: Variant, texts: Sequence[TypedText]) -> list[Outcome]:
        """What every text finds."""
        builder = self.builder(variant)
        return [
            self._outcome(builder, variant, text)
            for text in tqdm(texts, variant.name, disable=None)
        ]

    def _outcome(self, builder: IntentBuilder, variant: Variant, text: TypedText) -> Outcome:
        gallery, reference = self.gallery, self.gallery.place[text.reference]
        embedding = gallery.embeddings[reference]
        attributes = gallery.images[reference].attributes if variant.knows_attributes else None
        candidates = answer(builder.candidates(embedding, text.text, {}, attributes), self.encode)
        chosen = self._likeliest(candidates, embedding)
        embed = self.composer.embed("intersection", embedding, text.text, chosen.intent)
        scores = (answer(embed, self.encode) @ gallery.embeddings.T).max(axis=0)  # (N,)
        scores[reference] = -np.inf
        conditions = chosen.intent.conditions
        met = [are_met(conditions, image.attributes) for image in gallery.images]
        order = np.argsort(-scores, kind="stable")
        within = [at for at in order if met[at] and at != reference]
        found = [gallery.images[at] for at in (within or order)[:_RETRIEVED]]
        against = {
            image.image_id
            for image in found
            if not are_met(conditions, image.attributes)
            or (chosen.target and chosen.target.is_contradicted_by(image.attributes))
        }
        ids = [image.image_id for image in found]
        checked = sorted(ids, key=lambda image_id: image_id in against)
        return Outcome(
            text,
            checked[0] in text.targets,
            ids[0] in text.targets,
            not text.targets.isdisjoint(checked[:_DEPTH]),
            bool(chosen.intent.not_understood) or checked[0] in against,
        )

    def _likeliest(
        self, candidates: Sequence[IntentCandidate], reference: Embedding
    ) -> IntentCandidate:
        readings = [one.reading for one in candidates if one.reading is not None]
        if len(candidates) == 1:
            return candidates[0]
        phrases = [reading.phrase for reading in readings]
        table = dict(zip(phrases, self.encode(phrases), strict=True))
        (likeliest,) = still_possible(readings, reference, table)
        return next(
            one
            for one in candidates
            if one.reading is not None and one.reading.items == likeliest.items
        )


def line(name: str, outcomes: Sequence[Outcome]) -> str:
    """One row of the table."""
    shares = [
        fmean(getattr(o, what) for o in outcomes) for what in ("unchecked", "first", "among_50")
    ]
    for is_right in (False, True):
        flags = [o.flagged for o in outcomes if (o.first and not o.text.unanswerable) is is_right]
        shares.append(fmean(flags) if flags else 0.0)
    for family in dict.fromkeys(o.text.family for o in outcomes):
        shares.append(fmean(o.first for o in outcomes if o.text.family == family))
    return f"| {name} | {' | '.join(f'{share:.3f}' for share in shares)} |"


def main() -> None:
    """Measure every variant."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--gallery", type=Path, default=Path("data/qdrant"))
    parser.add_argument("--texts", type=Path, required=True, help="JSONL")
    parser.add_argument("--families", nargs="*", default=[], help="only these")
    parser.add_argument(
        "--variants", type=int, default=len(VARIANTS), help="only the first so many"
    )
    parser.add_argument("--wrong", action="store_true", help="print what everything finds wrongly")
    parser.add_argument("--preset", default="demo")
    options = parser.parse_args()
    began = time.monotonic()
    texts = read_texts(options.texts, options.families)
    try:
        bench = Bench(Gallery.read(options.gallery), options.preset)
    except GalleryUnavailable as error:
        raise SystemExit(str(error)) from None
    families = list(dict.fromkeys(text.family for text in texts))
    columns = [
        "without",
        "R@1, no check",
        "R@1",
        "R@50",
        "wrong flagged",
        "right flagged",
        *families,
    ]
    print(f"{len(texts)} texts, gallery of {len(bench.gallery.images)}, {options.preset}")
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for variant in VARIANTS[: options.variants]:
        outcomes = bench.outcomes(variant, texts)
        lines.append(line(variant.name, outcomes))
        if options.wrong and variant is VARIANTS[0]:
            for one in outcomes:
                if not one.first:
                    print(one.text.family, one.text.reference, repr(one.text.text), one.flagged)
    print("\n".join(lines))
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
