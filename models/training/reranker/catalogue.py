"""A manifest as training reads it: rows, the facets that are words, and who has which values."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.contracts.gallery import AttributeValue, Facet
from models.datasets.images import ImageLimits, InvalidImage, decode_image
from models.datasets.manifest import ImageRow, ManifestError, read_manifest
from models.datasets.schema import schema_of


def decode_row(row: ImageRow) -> Image.Image:
    """A row's picture, upright RGB.

    Raises:
        ManifestError: It cannot be read.
    """
    try:
        return decode_image(row.read_bytes(), ImageLimits())
    except (OSError, InvalidImage) as error:
        raise ManifestError(
            f"the image {row.location} cannot be read ({error}); repair it or take its row out"
        ) from error


Mask = NDArray[np.bool_]

Values = Mapping[
    str, frozenset[str]
]  # facet → the picture's values; facets not labelled are absent


@dataclass(frozen=True)
class Relevance:
    """How N pictures stand to an attribute query; masks are bool (N,).

    Attributes:
        relevant: Every facet of the query is labelled, has one value, and agrees.
        irrelevant: Every facet of the query is labelled, and one or more surely contradict it.
            Pictures in neither mask lack a label, or have several values of a facet, which may
            belong to different things.
        violations: Facet → where that facet surely contradicts the query.
    """

    relevant: Mask
    irrelevant: Mask
    violations: Mapping[str, Mask]


@dataclass(frozen=True)
class AttributeQuery:
    """What must be there, by facet, and what must not.

    Attributes:
        required: Facet → values the picture must have; several where it must show several things.
        excluded: Facet → the value it must not have.
    """

    required: Values
    excluded: Mapping[str, str] = field(default_factory=dict)

    @property
    def facets(self) -> frozenset[str]:
        """All facets that the query is about."""
        return frozenset([*self.required, *self.excluded])


class AttributeTable:
    """The attributes of N pictures, as columns, so that a query is one pass over them."""

    def __init__(self, pictures: Sequence[Values]) -> None:
        self._pictures = pictures
        self._known = {
            facet: np.array([facet in values for values in pictures])
            for facet in {name for values in pictures for name in values}
        }
        self._single = {
            facet: np.array([len(values.get(facet, ())) == 1 for values in pictures])
            for facet in self._known
        }
        self._has: dict[tuple[str, str], Mask] = {}

    def __len__(self) -> int:
        return len(self._pictures)

    def single(self, picture: int) -> dict[str, str]:
        """The facets of which a picture has one value."""
        values = self._pictures[picture]
        return {facet: next(iter(words)) for facet, words in values.items() if len(words) == 1}

    def all_of(self, picture: int) -> Values:
        """Everything a picture is labelled with."""
        return self._pictures[picture]

    def relevance(self, attribute_query: AttributeQuery) -> Relevance:
        """Compare all pictures with a query."""
        nowhere = np.zeros(len(self), bool)
        labelled, relevant = ~nowhere, ~nowhere
        violations: dict[str, Mask] = {}
        for facet in attribute_query.facets:
            known, single = self._known.get(facet, nowhere), self._single.get(facet, nowhere)
            labelled &= known
            agrees, contradicts = self._against(attribute_query, facet)
            relevant &= agrees & single
            violations[facet] = contradicts & known
        some = np.logical_or.reduce(list(violations.values())) if violations else nowhere
        return Relevance(relevant, labelled & some, violations)

    def _against(self, attribute_query: AttributeQuery, facet: str) -> tuple[Mask, Mask]:
        """Where a facet has what is required and nothing excluded; and where it surely fails."""
        agrees, contradicts = np.ones(len(self), bool), np.zeros(len(self), bool)
        for value in attribute_query.required.get(facet, ()):
            agrees &= self._where(facet, value)
            contradicts |= ~self._where(facet, value)
        if facet in attribute_query.excluded:
            there = self._where(facet, attribute_query.excluded[facet])
            agrees &= ~there
            # of several things one may still be what is meant
            contradicts |= there & self._single.get(facet, np.zeros(len(self), bool))
        return agrees, contradicts

    def _where(self, facet: str, value: str) -> Mask:
        if (facet, value) not in self._has:
            self._has[facet, value] = np.array(
                [value in values.get(facet, ()) for values in self._pictures], dtype=bool
            )
        return self._has[facet, value]


@dataclass(frozen=True)
class Catalogue:
    """Pictures with attributes.

    Attributes:
        name: The manifest's path, for messages.
        rows: All pictures.
        facets: Facets with words for values, in the order adjectives are put in a phrase.
        noun_facet: The facet that names the thing.
    """

    name: str
    rows: Sequence[ImageRow]
    facets: tuple[Facet, ...]
    noun_facet: str

    @cached_property
    def attribute_table(self) -> AttributeTable:
        """The pictures' values of those facets."""
        return AttributeTable([values_of(row.attributes, self.facets) for row in self.rows])

    @property
    def core(self) -> list[str]:
        """Facets that say what a thing is."""
        return [facet.name for facet in self.facets if not facet.context]

    @property
    def context(self) -> list[str]:
        """Facets that say where it is shown."""
        return [facet.name for facet in self.facets if facet.context]


def read_catalogue(
    manifest: Path, context_facets: Sequence[str], noun_facet: str | None
) -> Catalogue:
    """Read a manifest that queries can be made of.

    Args:
        manifest: JSONL or CSV, see `models.datasets.manifest`.
        context_facets: Facets that say where something is shown; those the manifest lacks are
            passed over, as a default names one.
        noun_facet: The facet that names the thing; None takes `category`.

    Raises:
        ManifestError: The manifest is unreadable, images of it are missing, it has no attributes
            that are words, or none that names the thing.
        SchemaError: The noun facet is no attribute, or has no words.
    """
    rows = read_manifest(manifest)
    missing = [row for row in rows if "://" not in row.location and not Path(row.location).exists()]
    if missing:
        raise ManifestError(
            f"{manifest}: {len(missing)} of {len(rows)} images are not there, the first is "
            f"{missing[0].location}; paths are relative to the manifest"
        )
    attributes = [row.attributes for row in rows]
    there = {name for each in attributes for name in each}
    context = [name for name in context_facets if name in there]
    facets, noun = schema_of(attributes, context, noun_facet)
    words = tuple(facet for facet in facets if facet.kind == "keyword" and len(facet.values) > 1)
    if len([facet for facet in words if not facet.context]) < 2:
        raise ManifestError(
            f"{manifest} has no attributes to make queries of: it takes two facets or more with "
            "a few words for values, such as `category` and `colour`; "
            f"found {', '.join(sorted(there)) or 'none'}"
        )
    if noun is None or noun not in {facet.name for facet in words}:
        raise ManifestError(
            f"{manifest}: no facet names the thing that is shown; call it `category`, or say which "
            f"it is with --noun-facet (there are: {', '.join(facet.name for facet in words)})"
        )
    return Catalogue(str(manifest), rows, words, noun)


def values_of(attributes: Mapping[str, AttributeValue], facets: Iterable[Facet]) -> Values:
    """The word-valued facets of one picture."""
    return {
        facet.name: _words(attributes[facet.name])
        for facet in facets
        if facet.kind == "keyword" and facet.values and facet.name in attributes
    }


def _words(value: AttributeValue) -> frozenset[str]:
    return frozenset(word.strip() for word in (value if isinstance(value, list) else [str(value)]))
