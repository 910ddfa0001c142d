"""The files of a report: whole, honest about degraded answers, and harmless to open."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from indexer.evaluation.report.plots import MAX_KINDS
from indexer.evaluation.report.writer import table, write
from indexer.evaluation.results import Results
from tests.indexer.evaluation.finished import (
    BENCHMARK,
    finished,
    picture,
    query,
    recall,
    secret,
)

API = {"models": {"encoder": "abc123", "reranker": None}, "preset": "demo"}


def report(results: Results, folder: Path) -> list[Path]:
    made_at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return write(results, folder, made_at=made_at, api=API, image_of=picture)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of three configurations without degraded answers."""
    folder = tmp_path_factory.mktemp("evaluation") / "new" / "folder"
    report(finished(), folder)
    return folder


class Page(HTMLParser):
    """Text, tags and the addresses that a browser would ask for."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_file_is_there(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
        *("report.html", "report.md", "metrics.json"),
        *(f"{stem}.{kind}" for kind in ("png", "svg") for stem in (
            "recall_curve", "quality_latency", "by_kind",
            "wins_losses_image-0", "wins_losses_union-20",
        )),
        *(f"{which}_{name}.jpg" for which in ("best", "worst") for name in (
            "text-0", "image-0", "union-20"
        )),
    }  # fmt: skip


def test_metrics_json_has_every_figure(tmp_path: Path) -> None:
    report(finished(reasons=["deadline"]), tmp_path)
    read = json.loads((tmp_path / "metrics.json").read_text("utf-8"))
    assert read["benchmark"]["name"] == "four queries"
    assert read["made_at"] == "2026-01-02T03:04:05+00:00"
    assert read["api"] == API
    assert read["baseline"] == "text-0"
    assert read["interval"]["level"] == 0.95
    union = read["configurations"][2]
    assert (union["composition"], union["rerank_depth"]) == ("union", 20)
    assert union["measures"]["recall@5"] == {"mean": 1.0, "low": 1.0, "high": 1.0, "queries": 4}
    assert union["averages"]["mean recall"]["mean"] == 0.875
    assert union["headline_minus_baseline"]["mean"] == 0.5
    assert union["headline_by_kind"]["colour"]["queries"] == 3
    assert union["latency_ms"]["p50"] == 25.0
    assert union["degraded"] == {"answers": 1, "share": 0.25, "reasons": {"deadline": 1}}


def test_degraded_answers_are_said_before_any_figure(tmp_path: Path) -> None:
    results = finished(reasons=["deadline", "reranker_failed"])
    report(results, tmp_path)
    sentence = (
        "1 of 4 answers of union-20 (25.0 %) were degraded: deadline (1), reranker_failed (1)"
    )
    html = Page((tmp_path / "report.html").read_text("utf-8")).text
    for text in (html, (tmp_path / "report.md").read_text("utf-8"), table(results)):
        assert sentence in text
        assert text.index(sentence) < text.index("configuration")


def test_nothing_is_said_of_degraded_answers_where_there_are_none(folder: Path) -> None:
    assert "Degraded answers" not in (folder / "report.html").read_text("utf-8")
    assert "Degraded answers" not in (folder / "report.md").read_text("utf-8")
    assert "WARNING" not in table(finished())


def test_the_page_requests_nothing(folder: Path) -> None:
    html = (folder / "report.html").read_text("utf-8")
    assert not re.search(r"https?://|@import|url\((?!#)", html)
    addresses = Page(html).addresses
    assert addresses
    assert all(address.startswith(("data:image/", "#")) for address in addresses)


def test_the_page_runs_no_text_as_code(folder: Path) -> None:
    page = Page((folder / "report.html").read_text("utf-8"))
    assert not {"script", "b", "i"} & set(page.tags)
    assert "wider <script>alert('x')</script> & größer" in page.text
    assert "size | <b>length</b>" in page.text
    assert "The reference <i>does not</i> count." in page.text


def test_the_page_holds_plots_pictures_and_tables(folder: Path) -> None:
    page = Page((folder / "report.html").read_text("utf-8"))
    assert page.tags.count("svg") == 5
    assert page.tags.count("table") == 2
    assert page.tags.count("img") >= 4 * 2 * 9  # best and worst, reference and eight results
    for said in ("abc123", "95 % bootstrap interval over queries", "1 right"):
        assert said in page.text


def test_the_markdown_links_what_is_there(folder: Path) -> None:
    text = (folder / "report.md").read_text("utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) == 5 + 6
    assert all((folder / link).is_file() for link in links)
    assert "size \\| &lt;b>length&lt;/b>" in text
    assert "models encoder: abc123" in text


def test_the_table_has_a_line_per_configuration_that_lines_up() -> None:
    lines = table(finished()).splitlines()
    assert len({len(line) for line in lines[:-1]}) == 1
    assert [line.split("|")[1].strip() for line in lines[2:-1]] == ["text-0", "image-0", "union-20"]
    assert "+0.500 [" in lines[4]
    assert "1.000 [1.000, 1.000]" in lines[4]
    assert lines[-1] == "[low, high] is a 95 % bootstrap interval over queries."


def test_one_configuration_is_reported_without_a_comparison(tmp_path: Path) -> None:
    results = finished()
    files = report(Results(results.benchmark, results.runs[:1]), tmp_path)
    assert not [path for path in files if path.name.startswith("wins_losses")]
    page = Page((tmp_path / "report.html").read_text("utf-8")).text
    assert " vs " not in page
    assert "right: not found" in page


def test_a_benchmark_with_secret_answers_gets_latency_and_no_pictures(tmp_path: Path) -> None:
    files = report(secret(), tmp_path)
    assert {path.name for path in files} == {"report.html", "report.md", "metrics.json"}
    assert "p95 ms" in (tmp_path / "report.md").read_text("utf-8")


def test_many_kinds_in_any_script_are_drawn(tmp_path: Path) -> None:
    queries = [query(i, *(f"種類 {k} $x$" for k in range(2 * MAX_KINDS))) for i in range(4)]
    files = report(finished(benchmark=replace(BENCHMARK, queries=queries)), tmp_path)
    assert all(path.is_file() for path in files)
    assert (tmp_path / "report.md").read_text("utf-8").count("| 種類") == 2 * MAX_KINDS


def test_families_of_phrasings_have_recalls_and_flag_rates(tmp_path: Path) -> None:
    """Of the first three queries; the second one's text can be answered by saying so alone."""
    queries = [
        replace(one, family=family, unanswerable=number == 1)
        for number, (one, family) in enumerate(
            zip(BENCHMARK.queries, ("typos", "typos", "negation", ""), strict=True)
        )
    ]
    measured = [*BENCHMARK.measures, recall(10)]
    results = finished(benchmark=replace(BENCHMARK, queries=queries, measures=measured))
    union = results.run("union-20")
    flagged = {"q1": ("not_understood",), "q2": ("nothing_fits",), "q3": ("not_understood",)}
    answers = {
        name: replace(answer, flags=flagged.get(name, ())) for name, answer in union.answers.items()
    }
    runs = [replace(run, answers=answers) if run is union else run for run in results.runs]
    report(replace(results, runs=runs), tmp_path)
    rows = json.loads((tmp_path / "metrics.json").read_text())["configurations"]
    text, _, union_20 = (row["families"] for row in rows)
    assert list(union_20) == ["typos", "negation", "all families"]
    assert {name: figures["queries"] for name, figures in union_20.items()} == {
        "typos": 2, "negation": 1, "all families": 3,
    }  # fmt: skip
    # q0 and q2 are right, q1 cannot be: of the right ones q2 is flagged, and q1 is, as it must
    assert union_20["all families"]["flagged"] == {
        "wrong": 1, "wrong_flagged": 1, "right": 2, "right_flagged": 1,
        "of_wrong": 1.0, "of_right": 0.5,
    }  # fmt: skip
    assert union_20["negation"]["flagged"]["of_wrong"] is None
    assert union_20["typos"]["recalls"]["recall@1"]["mean"] == 1.0
    assert text["typos"]["recalls"]["recall@10"]["mean"] == 0.5
    assert text["all families"]["flagged"]["of_wrong"] == 0
    for file in ("report.md", "report.html"):
        page = (tmp_path / file).read_text()
        assert "Families of phrasings" in page
        assert "0.500 (1 of 2)" in page
    assert (tmp_path / "by_family.svg").exists()
    assert (tmp_path / "flags.png").exists()
