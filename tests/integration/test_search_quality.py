"""Search end to end, judged by the catalogue's own right answers, over HTTP.

A guard, not a benchmark: a small gallery and bounds far below what is usual there.
"""

import json
from pathlib import Path
from statistics import mean

import torch
from fastapi.testclient import TestClient

from models.encoder.encoder import ImageTextEncoder
from models.metrics.retrieval import average_precision_at_k, recall_at_k
from models.training.encoder.contrastive import recall_at_1
from models.training.encoder.pairs import load_pairs


def quality(client: TestClient, catalogue: Path, composition: str) -> tuple[float, float]:
    """mAP@10 and recall@50 of one composition on the catalogue's queries."""
    lines = (catalogue.parent / "queries.jsonl").read_text().splitlines()
    precisions, recalls = [], []
    for query in map(json.loads, lines[:160]):
        body = {
            "reference_image": {"image_id": query["reference_image_id"]},
            "modification_text": query["modification_text"],
            "composition": composition,
            "top_k": 50,
        }
        results = client.post("/search", json=body).json()["results"]
        ranked = [result["image_id"] for result in results]
        precisions.append(average_precision_at_k(ranked, query["target_image_ids"], 10))
        recalls.append(recall_at_k(ranked, query["target_image_ids"], 50))
    return mean(precisions), mean(recalls)


def test_the_intersection_finds_more_than_the_baselines(
    client: TestClient, catalogue: Path
) -> None:
    found = {m: quality(client, catalogue, m) for m in ("intersection", "union", "text", "image")}
    precision, recall = found["intersection"]
    assert precision >= 1.5 * max(found[m][0] for m in ("union", "text", "image")), found
    assert recall >= max(found[m][1] for m in ("union", "text", "image")), found
    assert precision >= 0.3, found


def test_the_shipped_encoder_knows_the_demo_catalogue(
    catalogue: Path, encoder: ImageTextEncoder
) -> None:
    from models.datasets.images import ImageLimits, decode_image
    from models.datasets.manifest import read_manifest

    rows = {row.caption: row for row in read_manifest(catalogue)}  # one picture per caption
    pictures = [decode_image(row.read_bytes(), ImageLimits()) for row in rows.values()]
    images = torch.from_numpy(encoder.encode_images(pictures))
    texts = torch.from_numpy(encoder.encode_texts([caption or "" for caption in rows]))
    right = (texts @ images.T).argmax(dim=1) == torch.arange(len(rows))
    assert right.float().mean() >= 0.75  # families of near-identical scenes: a hard gallery


def test_the_training_metric_agrees_with_an_independent_count(catalogue: Path) -> None:
    """On a model whose rows are known: the k-th caption's row is the k-th picture's."""

    class Lookup(torch.nn.Module):
        def encode_image(self, pixels: torch.Tensor, normalize: bool) -> torch.Tensor:
            return torch.nn.functional.normalize(pixels.mean(dim=(2, 3)), dim=-1)

        def encode_text(self, tokens: torch.Tensor, normalize: bool) -> torch.Tensor:
            return torch.nn.functional.normalize(torch.ones(len(tokens), 3), dim=-1)

    pairs = load_pairs(catalogue, lambda texts: torch.zeros(len(texts), 4, dtype=torch.long), 16)
    zero, one = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
    measured = recall_at_1(Lookup(), pairs, zero, one, count=100)
    assert measured["among"] == 100
    assert measured["all"] == 0.01  # one constant text finds one picture, which is right once
