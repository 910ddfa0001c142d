"""Base model, processor and adapter from folders or the hub, made ready for inference.

The adapter is merged in float32 and only then cast: merging in bfloat16 shifts scores. An adapter
that does not fit its base is an error here; peft alone would warn and score with random weights.
"""

import hashlib
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from peft.utils import load_peft_weights
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoTokenizer,
)

from models.device import resolve_device
from models.hub import ModelUnavailable, local_folder
from models.reranker.adapter_card import (
    CARD,
    AdapterCard,
    AdapterMismatch,
    check_base,
    choose_template,
    read_card,
)
from models.reranker.architectures.base import Processor
from models.reranker.architectures.registry import (
    UnknownArchitecture,
    architecture_of,
    architecture_type,
)
from models.reranker.prompts import CIR, PromptTemplate
from models.settings import RerankerSettings

_log = logging.getLogger(__name__)

_CODE_VERSION = 2  # part of `version`: scores of one version agree
_DESCRIPTIONS = {"adapter_config.json", CARD}
HUB_FILES = ("*.json", "*.safetensors", "*.txt", "*.jinja")


class RerankerLoadError(ModelUnavailable):
    """The reranker cannot be loaded; the sentence says what is missing and what would be right."""


@dataclass(frozen=True)
class RerankerParts:
    """A merged model, ready for inference.

    Attributes:
        model: A transformers model of one of the architectures, in eval mode.
        processor: Its tokenizer and image processor.
        device: Where the model is.
        device_reason: Where, in which precision, and why.
        version: Names base, adapter and template; changes when scores may change.
        template: The prompt template it is asked with.
    """

    model: Any
    processor: Any
    device: torch.device
    device_reason: str
    version: str
    template: PromptTemplate = CIR


def load_reranker(settings: RerankerSettings) -> RerankerParts:
    """Load base and adapter, merge, cast, and move to the device.

    Raises:
        ModelUnavailable: Files are missing, or (`RerankerLoadError`) do not fit: the model is of no
            supported architecture, the adapter belongs to another base, or it was trained with
            another template than the one set.
    """
    device, reason = resolve_device(settings.device)
    dtype = _dtype(settings, device)
    base = local_folder(settings.base_source, "the reranker's base", HUB_FILES)
    adapter = None
    if settings.adapter_source is not None:
        adapter = local_folder(settings.adapter_source, "the reranker's adapter", HUB_FILES)
    hashes = [content_hash(folder) for folder in (base, adapter) if folder is not None]
    template = find_template(settings, base, adapter, hashes[0])
    model, processor = _load_base(base)
    if adapter is not None:
        model = merge_adapter(model, adapter)
    architecture_of(model, processor).optimize_for_inference()
    try:
        ready: Any = model.to(device=device, dtype=dtype)
    except torch.OutOfMemoryError as error:
        raise RerankerLoadError(f"the reranker does not fit on its device: {error}") from error
    ready.eval().requires_grad_(False)
    parts = [*hashes, template.version, str(settings.visual_tokens), str(_CODE_VERSION)]
    digest = hashlib.sha256("/".join(parts).encode()).hexdigest()[:10]
    return RerankerParts(
        model=ready,
        processor=processor,
        device=device,
        device_reason=f"{reason}, {str(dtype).removeprefix('torch.')}",
        version=f"{Path(settings.base).name}-{template.version}-{digest}",
        template=template,
    )


def find_template(
    settings: RerankerSettings, base: Path, adapter: Path | None, base_hash: str
) -> PromptTemplate:
    """The prompt template; checks, before anything large is read, that all parts fit together.

    Args:
        settings: Of the reranker.
        base: Folder of the base.
        adapter: Folder of the adapter, if there is one.
        base_hash: `content_hash` of the base.

    Raises:
        RerankerLoadError: The architecture is not supported, or the adapter is for another base or
            another template.
    """
    try:
        config = AutoConfig.from_pretrained(base)
        architecture_type(config.model_type)
        card = None if adapter is None else read_card(adapter)
        if card is not None:
            check_base(card, settings.base, base_hash)
            _compare_visual_tokens(card, settings)
        return choose_template(settings.template, card, settings.base, config.model_type)
    except (AdapterMismatch, UnknownArchitecture) as error:
        raise RerankerLoadError(str(error)) from error
    except (OSError, ValueError, KeyError) as error:
        raise _not_loaded(base, error) from error


def _compare_visual_tokens(card: AdapterCard, settings: RerankerSettings) -> None:
    if card.visual_tokens != settings.visual_tokens:
        _log.warning(
            "the adapter was trained at %d visual tokens per picture and will see %d",
            card.visual_tokens,
            settings.visual_tokens,
        )


def _load_base(base: Path) -> tuple[Any, Processor]:
    try:
        model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32)
        return model, load_processor(base)
    except (OSError, ValueError, KeyError, RuntimeError) as error:  # of shapes that differ
        raise _not_loaded(base, error) from error


def load_processor(base: Path) -> Processor:
    """Tokenizer and image processor of a base's folder.

    One by one: a processor as a whole may need packages for videos, which are not used here.

    Raises:
        OSError, ValueError, KeyError: Files are missing or wrong, in transformers' words.
    """
    tokenizer = AutoTokenizer.from_pretrained(base)
    image_processor = AutoImageProcessor.from_pretrained(base)
    return Processor(tokenizer, image_processor)


def _not_loaded(base: Path, error: Exception) -> RerankerLoadError:
    return RerankerLoadError(f"the reranker's base in {base} cannot be loaded: {error}")


def merge_adapter(model: Any, adapter: Path) -> Any:
    """Put a LoRA adapter into the weights of a float32 model, and return that model.

    Raises:
        RerankerLoadError: Names in the adapter and places for them in the base differ.
    """
    try:
        config = PeftConfig.from_pretrained(str(adapter))
        saved = load_peft_weights(str(adapter), device="cpu")
        config.base_model_name_or_path = None  # peft would look there; the base is what we give it
        with warnings.catch_warnings():  # peft asks transformers a question under its old name
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            wrapped = PeftModel(model, config)
    except (OSError, ValueError) as error:
        raise RerankerLoadError(f"the adapter in {adapter} cannot be loaded: {error}") from error
    expected = get_peft_model_state_dict(wrapped)
    wrong = sorted(
        {
            name
            for name in saved
            if name not in expected or saved[name].shape != expected[name].shape
        }
        | (set(expected) - set(saved))
    )
    if wrong:
        raise RerankerLoadError(
            f"the adapter in {adapter} is not for this base: {len(wrong)} of its tensors have no "
            f"counterpart of the same shape, the first is {wrong[0]}"
        )
    wrapped.load_adapter(str(adapter), "default", is_trainable=False)
    return wrapped.merge_and_unload()


def content_hash(folder: Path) -> str:
    """Over all weights and configs of a folder; what describes an adapter is left out."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.iterdir()):
        if path.suffix in {".safetensors", ".json"} and path.name not in _DESCRIPTIONS:
            digest.update(path.name.encode())
            with path.open("rb") as file:
                while block := file.read(1 << 22):
                    digest.update(block)
    return digest.hexdigest()


def _dtype(settings: RerankerSettings, device: torch.device) -> torch.dtype:
    if settings.dtype != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[settings.dtype]
    has_it = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if has_it else torch.float32


def check_compatible(settings: RerankerSettings) -> None:
    """Check a reranker whose files are here: architecture, processor, weights, adapter, template.

    The model is built without memory behind its tensors; with an adapter, the base's files are
    read once, for their hash.

    Raises:
        ModelUnavailable: Something is missing, or does not fit.
    """
    base = local_folder(settings.base_source, "the reranker's base", HUB_FILES)
    model = _without_weights(base)
    if not any(base.glob("*.safetensors")):
        raise RerankerLoadError(f"the reranker's base in {base} has no weights (*.safetensors)")
    if settings.adapter_source is None:
        return
    adapter = local_folder(settings.adapter_source, "the reranker's adapter", HUB_FILES)
    find_template(settings, base, adapter, content_hash(base))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*meta parameter")  # nothing is to be copied
        merge_adapter(model, adapter)


def _without_weights(base: Path) -> Any:
    try:
        load_processor(base)
        config = AutoConfig.from_pretrained(base)
        with torch.device("meta"):
            return AutoModelForImageTextToText.from_config(config)
    except (OSError, ValueError, KeyError) as error:
        raise RerankerLoadError(
            f"the reranker's base in {base} cannot be loaded: {error}"
        ) from error
