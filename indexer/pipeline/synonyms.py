"""A catalogue's own words for its values: a YAML file beside the manifest, checked and put into
the schema.

    synonyms:
      colour:
        red: [crimson, scarlet, rot]
      category:
        sofa: couch
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from models.contracts.gallery import Facet
from models.datasets.remote import is_url
from models.errors import InputError

MAX_SYNONYM_CHARS, MAX_SYNONYMS = 80, 5000  # of one word, of all together
_MAX_BYTES = 1_000_000

Synonyms = Mapping[str, Mapping[str, tuple[str, ...]]]  # facet → value → words


class SynonymsError(InputError):
    """The file of synonyms cannot be used; the message says what is wrong and where."""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # the package has no types
    """YAML in which a key that stands twice is an error: the last one would win silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = next((key for n, key in enumerate(keys) if key in keys[:n]), None)
        if twice is not None:
            line = node.start_mark.line + 1
            raise yaml.constructor.ConstructorError(
                None, None, f"`{twice}` stands twice in what begins in line {line}"
            )
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def beside(manifest: Path | str | None) -> Path | None:
    """The file of a manifest's name that ends in `.yaml`, if it is on disk and there is one."""
    on_disk = manifest is not None and not is_url(str(manifest))
    side = Path(str(manifest)).with_suffix(".yaml") if on_disk else None
    return side if side is not None and side.is_file() else None


def read_synonyms(path: Path) -> Synonyms:
    """The words of a file.

    Raises:
        SynonymsError: It cannot be read, or says something else than words of values.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise SynonymsError(f"{path} has more than {_MAX_BYTES:,} bytes")
        said = yaml.load(data.decode(), _Loader)  # noqa: S506  # a SafeLoader
    except OSError as error:
        raise SynonymsError(f"the synonyms {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SynonymsError(f"{path} is not UTF-8") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise SynonymsError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(said, dict) or list(said) != ["synonyms"]:
        raise SynonymsError(f"{path} should have one key, `synonyms`: facet → value → words")
    found = {
        facet: {value: _words(path, where, words) for value, words, where in values}
        for facet, values in _facets(path, said["synonyms"])
    }
    count = sum(len(words) for values in found.values() for words in values.values())
    if count > MAX_SYNONYMS:
        raise SynonymsError(f"{path} has {count:,} words, more than {MAX_SYNONYMS:,}")
    return found


def with_synonyms(facets: Sequence[Facet], synonyms: Synonyms, path: Path) -> tuple[Facet, ...]:
    """The schema with a catalogue's words for those of its values that images have.

    Raises:
        SynonymsError: They are of a facet that is none, or a word has two meanings.
    """
    by_name = {facet.name: facet for facet in facets if facet.values}
    meant = {value.lower(): (f.name, value) for f in by_name.values() for value in f.values}
    for facet, value, word in _all(synonyms):
        if facet not in by_name:
            raise SynonymsError(
                f"{path} has words for `{facet}`, which is no facet with values; "
                f"there are: {', '.join(by_name) or 'none'}"
            )
        other = meant.setdefault(word.lower(), (facet, value))
        if other != (facet, value):
            raise SynonymsError(
                f"{path}: “{word}” cannot mean `{value}` ({facet}): it means `{other[1]}` "
                f"({other[0]}) already"
            )
    return tuple(
        facet.model_copy(update={"synonyms": {v: w for v, w in said.items() if v in facet.values}})
        if (said := synonyms.get(facet.name))
        else facet
        for facet in facets
    )


def lines(facets: Sequence[Facet], synonyms: Synonyms) -> Iterator[str]:
    """What `build --check` says: how many words there are, and which are of values no image has."""
    values = {facet.name: frozenset(facet.values) for facet in facets}
    unused = [
        f"{value} ({facet})"
        for facet, words in synonyms.items()
        for value in words
        if value not in values.get(facet, ())
    ]
    yield f"synonyms: {sum(1 for _ in _all(synonyms))} words"
    if unused:
        yield f"  of values that no image has: {', '.join(unused)}"


def _all(synonyms: Synonyms) -> Iterator[tuple[str, str, str]]:
    for facet, values in synonyms.items():
        for value, words in values.items():
            for word in words:
                yield facet, value, word


def _facets(path: Path, said: Any) -> Iterator[tuple[str, list[tuple[str, Any, str]]]]:
    """Facet → its values, with what is said of each and where that stands."""
    for facet, values in _mapping(path, "synonyms", said):
        yield (
            facet,
            [(v, words, f"{facet}.{v}") for v, words in _mapping(path, facet, values)],
        )


def _mapping(path: Path, where: str, said: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(said, dict):
        raise SynonymsError(f"{path}: `{where}` should be a mapping, found {said!r:.60}")
    for key, value in said.items():
        if not isinstance(key, str):
            raise SynonymsError(
                f"{path}: put quotes around `{key}` in `{where}`: YAML takes it for a "
                f"{type(key).__name__}"
            )
        yield key, value


def _words(path: Path, where: str, said: Any) -> tuple[str, ...]:
    words = said if isinstance(said, list) else [said]
    for word in words:
        if not isinstance(word, str):
            raise SynonymsError(
                f"{path}: `{where}` should be words, found {word!r:.60}; put quotes around what "
                "YAML takes for something else"
            )
        if not any(map(str.isalnum, word)) or len(word) > MAX_SYNONYM_CHARS:
            raise SynonymsError(
                f"{path}: a word of `{where}` has a letter or digit, and at most "
                f"{MAX_SYNONYM_CHARS} characters; found {word!r:.100}"
            )
    return tuple(dict.fromkeys(word.strip() for word in words))
