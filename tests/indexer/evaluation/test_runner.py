"""The command, against a real API over HTTP: answers, resumption, report, refusals, tuning."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.search.ranking import fuse
from indexer.cli import main
from indexer.evaluation.runner import AnswerFile
from indexer.evaluation.tuning import ScoredResult, fused
from indexer.evaluation.types import Answer, BenchmarkError
from indexer.gallery.ports import Hit
from models.contracts.gallery import GalleryImage
from models.presets import load_preset
from tests.paths import ROOT

DEMO = ["--benchmark", "demo", "--compositions", "union", "facets", "--rerank", "0"]


def evaluate(*arguments: object) -> int:
    return main(["evaluate", *map(str, arguments)])


def test_a_report_of_the_demo_benchmark(
    api: str, catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ["--source", catalogue.parent, "--api", api, "--out", tmp_path, "--queries", "40"]
    assert evaluate(*DEMO, *source, "--baseline", "union-0") == 0
    printed = capsys.readouterr().out
    assert "facets-0" in printed
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    union, facets = metrics["configurations"]
    assert facets["measures"]["mAP@10"]["mean"] > union["measures"]["mAP@10"]["mean"] + 0.2
    assert facets["headline_minus_baseline"]["low"] > 0
    assert facets["degraded"]["answers"] == 0
    assert 0 < facets["latency_ms"]["p50"] <= facets["latency_ms"]["p95"]
    assert metrics["api"]["encoder"] == load_preset_fingerprint(api)
    page = (tmp_path / "report.html").read_text()
    assert "data:image/jpeg" in page, "thumbnails come from the API"
    assert (tmp_path / "best_facets-0.jpg").exists()


def test_families_are_asked_with_the_attribute_check_and_without(
    api: str, catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ["--source", catalogue.parent, "--api", api, "--out", tmp_path]
    ways = [
        "--compositions",
        "union",
        "facets",
        "--rerank",
        "0",
        "--attribute-check",
        "demote",
        "off",
    ]
    families = ["--families", "own words", "comparison"]
    assert evaluate("--benchmark", "demo", *source, *ways, *families) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    rows = {row["name"]: row for row in metrics["configurations"]}
    assert list(rows) == ["union-0", "facets-0", "facets-0-unchecked"]
    checked, unchecked = (rows[name]["families"] for name in list(rows)[1:])
    assert list(checked) == ["own words", "comparison", "all families"]
    assert checked["own words"]["recalls"]["recall@1"]["mean"] > 0.6
    flags = checked["comparison"]["flagged"]
    assert flags["wrong"] + flags["right"] == checked["comparison"]["queries"]
    assert flags["wrong_flagged"] > 0, "sizes, which are not understood"
    assert (
        checked["all families"]["recalls"]["recall@1"]["mean"]
        >= unchecked["all families"]["recalls"]["recall@1"]["mean"]
    )
    capsys.readouterr()
    assert evaluate("--benchmark", "demo", *source, "--families", "poems") == 2
    assert "no family 'poems'; there are: templates, own words" in capsys.readouterr().err


def load_preset_fingerprint(api: str) -> str:
    import httpx

    return str(httpx.get(f"{api}/gallery").json()["encoder_fingerprint"])


def test_a_run_that_was_cut_off_goes_on(
    api: str, catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "--benchmark", "demo", "--compositions", "text", "--rerank", "0", "--queries", "12",
        "--source", catalogue.parent, "--api", api, "--out", tmp_path,
    ]  # fmt: skip
    assert evaluate(*command) == 0
    file = tmp_path / "answers" / "text-0.jsonl"
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:6]) + lines[6][:20])  # killed while it wrote the sixth answer
    assert evaluate(*command) == 0
    again = file.read_bytes().splitlines(keepends=True)
    assert again[:6] == lines[:6]
    ids = [json.loads(line)["query_id"] for line in again[1:]]
    assert sorted(ids) == sorted(json.loads(line)["query_id"] for line in lines[1:])
    capsys.readouterr()

    command[command.index("12")] = "13"  # other queries: these answers are not theirs
    assert evaluate(*command) == 2
    assert "answers to something else" in capsys.readouterr().err


def test_degraded_answers_are_said_loudly(
    api: str, catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no reranker here, and the report may not look as if there were one."""
    command = ["--benchmark", "demo", "--compositions", "mllm", "--rerank", "10", "--queries", "4"]
    source = ["--source", catalogue.parent, "--api", api, "--out", tmp_path]
    assert evaluate(*command, *source) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("WARNING")
    assert "rerank_disabled" in printed
    assert "intent_fallback" in printed


def test_a_benchmark_of_the_gallerys_own_attributes(
    api: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--benchmark", "attributes", "--queries", "40", "--compositions", "image", "facets"]
    assert evaluate(*command, "--rerank", "0", "--api", api, "--out", tmp_path) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    image, facets = (c["measures"]["mAP@10"]["mean"] for c in metrics["configurations"])
    assert facets > image + 0.2
    assert "change colour" in metrics["configurations"][0]["headline_by_kind"]


def test_a_gallery_that_lacks_the_benchmarks_images_is_refused(
    api: str, catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (catalogue.parent / "queries.jsonl").read_text().replace("test-0", "other-0")
    (tmp_path / "queries.jsonl").write_text(lines)
    command = [*DEMO, "--source", tmp_path, "--api", api, "--out", tmp_path]
    assert evaluate(*command) == 2
    assert "the gallery in service lacks" in capsys.readouterr().err


def test_no_api_is_said_in_a_sentence(
    catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = ["--api", "http://127.0.0.1:9", "--out", tmp_path]
    assert evaluate(*DEMO, "--source", catalogue.parent, *nobody) == 1
    assert "start the API" in capsys.readouterr().err


def test_tuning_writes_a_preset_and_refuses_test_queries(
    api: str, catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preset = tmp_path / "tuned.json"
    command = ["--benchmark", "attributes", "--api", api, "--tune", preset, "--queries", "20"]
    assert evaluate(*command, "--split", "test") == 2
    assert "validation" in capsys.readouterr().err
    assert evaluate(*command, "--split", "validation") == 0
    lines = [line.partition("  ") for line in capsys.readouterr().out.splitlines()]
    worth = {step: float(value) for value, _, step in lines if step}
    for kind in ("known reference", "read reference", "intents sent back"):
        assert worth[kind] >= worth[f"{kind}, weights as they were"]
    tuned, shipped = load_preset(str(preset)), load_preset("demo")
    assert tuned.encoder == shipped.encoder
    for weights in (tuned.understood.known, tuned.understood.read, tuned.composition):
        assert weights.forbidden == 0, "what is refused is left out, not subtracted"
    assert tuned.reranking == shipped.reranking, "without a reranker there is nothing to tune"


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.none() | st.floats(0, 1)), max_size=12),
    st.sampled_from([0.0, 0.1, 1.0]),
)
def test_tuning_fuses_as_the_service_does(
    scores: list[tuple[float, float | None]], weight: float
) -> None:
    found = [ScoredResult(str(i), a, b) for i, (a, b) in enumerate(scores)]
    candidates = [
        Hit(
            GalleryImage(image_id=one.image_id, content_hash="0" * 64, width=1, height=1),
            one.retrieval_score,
        )
        for one in found
    ]
    known = {one.image_id: one.rerank_score for one in found if one.rerank_score is not None}
    ranked = fuse(candidates, known, weight)
    assert fused(found, weight) == [one.candidate.image.image_id for one in ranked]


def test_a_run_that_cannot_write_any_more_loses_no_answer(tmp_path: Path) -> None:
    """Its files may not grow, as on a full disk; an answer was torn when the run before it died."""
    path, about = tmp_path / "a.jsonl", {"gallery": 1}
    file = AnswerFile(path, about)
    for number in range(20):
        file.add(Answer(f"q{number}", ("a", "b"), 1.5, (), None))
    file.close()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"query_id": "q2')
    code = f"""
import resource
from pathlib import Path
from indexer.evaluation.runner import AnswerFile
from indexer.evaluation.types import Answer
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
AnswerFile(Path({str(path)!r}), {about!r}).add(Answer("q21", ("a",), 1.5, (), None))
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "File too large" in ended.stderr
    assert path.read_bytes() == whole


def test_answers_of_another_gallery_are_not_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    answer = Answer("q", ("a", "b"), 1.5, ("deadline",), "reranker-1")
    file = AnswerFile(path, {"gallery": 1})
    file.add(answer)
    file.close()
    again = AnswerFile(path, {"gallery": 1})
    again.add(replace(answer, query_id="r"))
    again.close()
    assert again.answers == {"q": answer, "r": replace(answer, query_id="r")}
    with pytest.raises(BenchmarkError, match="other gallery"):
        AnswerFile(path, {"gallery": 2})
