"""The whole path at real sizes with random weights: ViT-B-32, and Qwen3-VL with fewer layers.

Nothing is found by random weights; this shows that models from folders load, fit and flow through:
indexer, API and worker, on photographs.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from fastapi.testclient import TestClient
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from app.api.main import create_app
from app.api.settings import ApiSettings, WorkerSettings
from indexer.cli import main as indexer
from indexer.gallery.settings import GallerySettings
from models.encoder.checkpoints import create_untrained, save_weights
from models.settings import EncoderSettings
from tests.conftest import wait_until_ready
from tests.integration.test_two_stages import Worker
from tests.models.rerankers import PROCESSORS

SHARED = PROCESSORS.parent
PHOTOGRAPHS, RERANKED = 60, 4


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not SHARED.is_dir():
        pytest.skip("photographs and processor files are not part of this repository")
    return tmp_path_factory.mktemp("real")


@pytest.fixture(scope="module")
def encoder(root: Path) -> EncoderSettings:
    folder = root / "ViT-B-32"
    folder.mkdir()
    config = {
        "model_cfg": open_clip.get_model_config("ViT-B-32"),
        "preprocess_cfg": {
            "mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD,
        },
    }  # fmt: skip
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    model, _ = create_untrained(folder)
    save_weights(model, folder)
    return EncoderSettings(model=f"local-dir:{folder}", device="cpu")


@pytest.fixture(scope="module")
def reranker(root: Path) -> Path:
    """The 4B's widths, vocabulary and processor; 2 of 36 layers, and 4 of 24 in the tower."""
    folder = root / "Qwen3-VL-shallow"
    config = AutoConfig.from_pretrained(PROCESSORS / "Qwen3-VL")
    config.text_config.num_hidden_layers = 2
    config.text_config.layer_types = ["full_attention"] * 2
    config.vision_config.depth, config.vision_config.deepstack_visual_indexes = 4, [0, 1]
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    model.to_empty(device="cpu")
    model.tie_weights()
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            parameter.data.uniform_(-0.03, 0.03, generator=generator)
        else:
            parameter.data.fill_(0.0 if name.endswith("bias") else 1.0)
    model.save_pretrained(folder)
    AutoProcessor.from_pretrained(PROCESSORS / "Qwen3-VL").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def manifest(root: Path) -> Path:
    """Every thirteenth grocery: fruit, vegetables, cartons."""
    photos = SHARED / "photos"
    rows = [json.loads(line) for line in (photos / "manifest.jsonl").read_text().splitlines()]
    chosen = [row for row in rows if row["dataset"] == "grocery"][::13][:PHOTOGRAPHS]
    path = root / "manifest.jsonl"
    path.write_text(
        "\n".join(
            json.dumps(
                {
                    "image": str(photos / row["file"]),
                    "image_id": row["id"],
                    "attributes": {
                        "category": row["attributes"]["coarse"].lower(),
                        "department": row["attributes"]["department"].lower(),
                    },
                }
            )
            for row in chosen
        )
    )
    return path


@pytest.fixture(scope="module")
def service(
    root: Path, encoder: EncoderSettings, reranker: Path, manifest: Path
) -> Iterator[TestClient]:
    """Built by the command, served by API and worker."""
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("CIR_INDEXER__ENCODER__MODEL", encoder.model)
        environ.setenv("CIR_INDEXER__GALLERY__PATH", str(root / "qdrant"))
        environ.setenv("CIR_INDEXER__IMAGE_STORE", str(root / "images"))
        report = str(root / "report.json")
        assert indexer(["build", "--manifest", str(manifest), "--report", report]) == 0
        environ.setenv("CIR_WORKER__RERANKER__BASE", str(reranker))
        environ.setenv("CIR_WORKER__RERANKER__VISUAL_TOKENS", "16")
        environ.setenv("CIR_WORKER__SELF_TEST", "false")  # random weights answer neither yes nor no
        worker = Worker(root / "images", patience_s=300)
    settings = ApiSettings(
        encoder=encoder,
        gallery=GallerySettings(path=root / "qdrant"),
        image_store=root / "images",
        worker=WorkerSettings(urls=(worker.url,)),
        reranker_composes=False,
        timeout_ms=60_000,
    )
    try:
        worker.start()
        with TestClient(create_app(settings), raise_server_exceptions=False) as running:
            wait_until_ready(running)
            yield running
    finally:
        worker.stop()


def ask(service: TestClient, manifest: Path, **options: object) -> dict[str, Any]:
    reference = json.loads(manifest.read_text().splitlines()[0])["image_id"]
    body = {
        "reference_image": {"image_id": reference},
        "modification_text": "the same but milk",
        "timeout_ms": 60_000,
        **options,
    }
    response = service.post("/search", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_the_gallery_holds_the_photographs(service: TestClient) -> None:
    gallery = service.get("/gallery").json()
    assert 50 <= gallery["images"] <= PHOTOGRAPHS  # less what are the same bytes
    assert gallery["encoder_fingerprint"].startswith("ViT-B-32-")
    assert gallery["noun_facet"] == "category"


def test_candidates_are_judged_and_nothing_is_missing(service: TestClient, manifest: Path) -> None:
    answer = ask(service, manifest, rerank_depth=RERANKED, top_k=50)
    assert answer["coverage"]["reranked"] == RERANKED
    assert set(answer["coverage"]["reasons"]) <= {"nothing_fits"}  # weights are random
    assert answer["coverage"]["degraded"] is False
    scores = [r["rerank_score"] for r in answer["results"] if r["rerank_score"] is not None]
    assert len(scores) == RERANKED
    assert all(0 < score < 1 for score in scores)
    assert len(set(scores)) > 1, "the reranker sees the candidates"
    assert answer["composition"]["intent"]["source"] == "facets"
    assert "milk" in answer["composition"]["intent"]["target"]
    assert answer["models"]["reranker"].startswith("Qwen3-VL-shallow-")


def test_an_intent_by_random_weights_is_no_intent_and_that_is_said(
    service: TestClient, manifest: Path
) -> None:
    answer = ask(service, manifest, rerank_depth=0, intent_source="mllm")
    assert answer["composition"]["intent"]["source"] == "facets"
    assert "intent_fallback" in answer["coverage"]["reasons"]
    assert answer["coverage"]["degraded"] is True
