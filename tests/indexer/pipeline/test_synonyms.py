"""A catalogue's own words for its values: the file beside the manifest, and what is wrong there."""

from pathlib import Path

import pytest

from indexer.pipeline.source import check, facets_of, read_rows
from indexer.pipeline.synonyms import SynonymsError, beside, read_synonyms
from indexer.settings import IndexerSettings
from models.contracts.gallery import Facet
from models.query.text.grammar import read_instructions
from models.query.text.linking import Linker

MANIFEST = """\
image,attributes.category,attributes.colour,attributes.price
a.jpg,sofa,red,10
b.jpg,lamp,off-white,20
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "catalogue.csv"
    path.write_text(MANIFEST)
    (tmp_path / "a.jpg").touch()
    (tmp_path / "b.jpg").touch()
    return path


def facets(manifest: Path, words: str) -> tuple[Facet, ...]:
    side = manifest.with_suffix(".yaml")
    side.write_text(words, "utf-8")
    settings = IndexerSettings(synonyms=beside(manifest))
    return facets_of(read_rows(None, manifest, ()), settings)[0]


def test_words_reach_the_schema_and_are_linked_before_anything_else(manifest: Path) -> None:
    found = facets(
        manifest,
        "synonyms:\n  colour:\n    red: [crimson, rood, Rouge Baiser]\n    off-white: écru\n"
        "  category: {lamp: [bargain, '不点灯', 'side-light']}\n",
    )
    by_name = {facet.name: facet.synonyms for facet in found}
    assert by_name["colour"] == {"red": ("crimson", "rood", "Rouge Baiser"), "off-white": ("écru",)}
    linker = Linker(found, "category", None)
    for text, value in (
        ("in crimson please", "red"),
        ("rouge baiser", "red"),
        ("ROOD", "red"),
        ("in ÉCRU", "off-white"),
        ("a bargain", "lamp"),
        ("不点灯", "lamp"),
        ("a side-light", "lamp"),
        ("two side lights", "lamp"),
    ):
        (phrase,) = read_instructions(text, linker).phrases
        assert [(link.value, link.how, link.score) for link in phrase.links] == [
            (value, "synonym", 1.0)
        ], text


def test_a_manifest_without_words_has_none(manifest: Path) -> None:
    assert beside(manifest) is None
    assert beside(None) is None


def test_check_names_the_words_of_values_that_no_image_has(manifest: Path) -> None:
    side = manifest.with_suffix(".yaml")
    side.write_text("synonyms: {colour: {red: crimson, pink: [rosa, rose]}}")
    settings = IndexerSettings(synonyms=side)
    rows = read_rows(None, manifest, ())
    said = check(rows, settings)
    assert "synonyms: 3 words" in said
    assert "  of values that no image has: pink (colour)" in said
    colour = next(facet for facet in facets_of(rows, settings)[0] if facet.name == "colour")
    assert colour.synonyms == {"red": ("crimson",)}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "should have one key, `synonyms`"),
        ("synonyms: {}\nother: 1\n", "should have one key, `synonyms`"),
        ("synonyms: [", "is not YAML"),
        ("synonyms: [red]", "`synonyms` should be a mapping"),
        ("synonyms: {colour: red}", "`colour` should be a mapping"),
        ("synonyms: {color: {red: crimson}}", "`color`, which is no facet with values; there are"),
        ("synonyms: {price: {cheap: bargain}}", "`price`, which is no facet with values"),
        ("synonyms: {colour: {red: [no]}}", "should be words, found False; put quotes"),
        ("synonyms: {colour: {36: big}}", "put quotes around `36`"),
        ("synonyms: {colour: {red: '…'}}", "has a letter or digit"),
        ("synonyms: {colour: {red: " + "x" * 81 + "}}", "at most 80 characters"),
        ("synonyms: {colour: {red: sofa}}", "“sofa” cannot mean `red` (colour): it means `sofa`"),
        ("synonyms: {colour: {red: a, off-white: A}}", "“A” cannot mean `off-white` (colour)"),
        ("synonyms: {colour: {red: a, red: b}}", "`red` stands twice"),
        ("synonyms: !!python/name:os.system x", "is not YAML"),
    ],
)
def test_what_is_wrong_is_said(manifest: Path, words: str, sentence: str) -> None:
    with pytest.raises(SynonymsError) as refused:
        facets(manifest, words)
    assert sentence in str(refused.value)
    assert "catalogue.yaml" in str(refused.value)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "none.yaml", "cannot be read"), (tmp_path, "cannot be read")):
        with pytest.raises(SynonymsError, match=said):
            read_synonyms(path)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"synonyms: {a: {b: \xe9}}")
    with pytest.raises(SynonymsError, match="not UTF-8"):
        read_synonyms(latin)
    long = tmp_path / "long.yaml"
    long.write_bytes(b"#" * 1_000_001)
    with pytest.raises(SynonymsError, match="more than 1,000,000 bytes"):
        read_synonyms(long)
