"""What the commands of training take: one dataclass each, which typer makes flags of.

Knows nothing of training: a command's module is given its options.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from typer import Option

from models.command_line import without_empty

LIST_FLAGS = ("--context-facets", "--group-by")  # take any number of values, none among them


@dataclass(frozen=True, kw_only=True)
class CatalogueOptions:
    """Which queries are made of what."""

    manifest: Annotated[Path, Option(help="JSONL or CSV with attributes, as for a build")]
    validation: Annotated[
        Path | None,
        Option(help="another manifest to measure with; without it, some references of the first"),
    ] = None
    validation_share: Annotated[
        float, Option(help="of the references, if both are one manifest")
    ] = 0.15
    context_facets: Annotated[
        list[str],
        Option(
            help="attributes that say where, not what", metavar="[FACET ...]",
            default_factory=lambda: ["setting"], show_default="setting", callback=without_empty,
        ),
    ]  # fmt: skip
    noun_facet: Annotated[
        str | None,
        Option(help="the attribute that names the thing (category)", metavar="FACET"),
    ] = None
    queries: Annotated[int, Option(help="at most")] = 2000
    validation_queries: Annotated[int, Option(help="at most")] = 300
    caption_share: Annotated[
        float, Option(help="of the queries, made from captions where there are some")
    ] = 0.2
    candidates: Annotated[int, Option(help="per query")] = 8
    coarse: Annotated[
        str,
        Option(
            help="whose encoder finds hard negatives; `none`: attributes alone", metavar="PRESET"
        ),
    ] = "demo"
    coarse_depth: Annotated[int, Option(help="of its ranks, so many first ones are hard")] = 30
    duplicate_similarity: Annotated[
        float, Option(help="cosine from which such a picture counts as a right one")
    ] = 0.97
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class SynthesizeOptions(CatalogueOptions):
    """`synthesize`."""

    out: Annotated[Path, Option(help="folder; the queries are `queries.jsonl` in it")]


@dataclass(frozen=True, kw_only=True)
class RerankerOptions(CatalogueOptions):
    """`reranker`."""

    out: Annotated[Path, Option(help="the adapter's folder")]
    base: Annotated[str, Option(help="`demo`, a hub name or a folder")] = "demo"
    adapter: Annotated[
        str | None,
        Option(
            help="an adapter to train on: hub name, folder, or `none` for new weights "
            "(default: the base's own, which the demo has)",
            metavar="ADAPTER",
        ),
    ] = None
    visual_tokens: int = 16
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    steps: int = 400
    batch_size: Annotated[int, Option(help="queries of a batch")] = 8
    accumulate: Annotated[int, Option(help="batches of a step")] = 1
    learning_rate: float = 2e-4
    lora_rank: Annotated[int, Option(help="of new weights; α is twice that")] = 16
    lora_dropout: float = 0.05
    intent_weight: Annotated[
        float, Option(help="of saying the intent, beside scoring; 0 leaves it out")
    ] = 0.3
    gradient_checkpointing: Annotated[
        bool | None, Option(help="trade time for memory (default: on a GPU)")
    ] = None
    validate_every: Annotated[int, Option(help="steps; the state is saved then, too")] = 50


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """`encoder`."""

    manifest: Annotated[Path, Option(help="JSONL or CSV with captions")]
    out: Annotated[Path, Option(help="the encoder's folder")]
    base: Annotated[
        str, Option(help="`demo`, an open_clip name, `hf-hub:org/name` or `local-dir:/path`")
    ] = "demo"
    pretrained: Annotated[
        str | None, Option(help="open_clip's tag or a weights file, for its names")
    ] = None
    validation: Annotated[
        Path | None, Option(help="another manifest to measure with (default: a share)")
    ] = None
    validation_share: float = 0.1
    steps: int = 300
    batch_size: int = 64
    learning_rate: float = 2e-5
    validate_every: Annotated[int, Option(help="steps; the state is saved then, too")] = 50
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class DemoEncoderOptions:
    """`demo-encoder`."""

    manifest: Annotated[Path, Option(help="training pairs (JSONL)")]
    validation: Annotated[Path, Option(help="validation pairs (JSONL)")]
    out: Annotated[
        Path, Option(help="folder with open_clip_config.json; the weights are written there")
    ]
    steps: int = 2000
    batch_size: int = 256
    learning_rate: float = 1e-3
    group_by: Annotated[
        list[str],
        Option(
            help="facets whose values the groups of a batch share, in two batches of three",
            metavar="[FACET ...]", default_factory=list, show_default=False,
            callback=without_empty,
        ),
    ]  # fmt: skip
    group_from: Annotated[float, Option(help="share of the steps before the first group")] = 0.25
    init: Annotated[
        Path | None,
        Option(help="weights (safetensors) to start from, wherever names and shapes fit"),
    ] = None
    limit: Annotated[int | None, Option(help="use only the first N training pairs")] = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class DemoRerankerOptions:
    """`demo-reranker`."""

    catalogue: Annotated[
        Path,
        Option(help="folder of `python -m indexer demo --split train --families --questions 16`"),
    ]
    validation: Annotated[Path, Option(help="the same of the validation split")]
    out: Annotated[Path, Option(help="`base/` and `adapter/` go here")]
    pictures: Annotated[int, Option(help="the language side learns from the first N")] = 24000
    vision_steps: int = 1000
    base_steps: int = 4000
    adapter_steps: int = 650
    batch_size: Annotated[int, Option(help="pictures of a vision step")] = 96
    rows: Annotated[int, Option(help="rows of a base step")] = 32
    queries: Annotated[int, Option(help="queries of an adapter step")] = 16
    candidates: Annotated[int, Option(help="candidates per query")] = 8
    coarse: Annotated[str, Option(help="preset whose coarse stage finds hard negatives")] = "demo"
    mined: Annotated[int, Option(help="queries it is asked")] = 6000
    learning_rate: float = 1.5e-3
    lora_rank: int = 32
    seed: int = 0


Options = (
    SynthesizeOptions | RerankerOptions | EncoderOptions | DemoEncoderOptions | DemoRerankerOptions
)
