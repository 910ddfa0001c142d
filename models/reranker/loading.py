"""Base, processor and adapter from folders or the hub, made ready to run.

The adapter is merged in float32 and only then cast: merging in bfloat16 shifts scores. An adapter
that does not fit its base is an error here; peft alone would warn and score with random weights.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from peft.utils import load_peft_weights
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from models.device import resolve_device
from models.reranker import prompt
from models.settings import JudgeSettings

_CODE_VERSION = 1


class JudgeUnavailable(RuntimeError):
    """The judge cannot be loaded; the sentence says what is missing and what would be right."""


@dataclass(frozen=True)
class LoadedJudge:
    """A merged model, ready for inference.

    Attributes:
        model: `Qwen3VLForConditionalGeneration` or another of the family, in eval mode.
        processor: Its tokenizer and image processor.
        device: Where the model is.
        device_reason: Where, in which precision, and why.
        version: Names base, adapter and prompt; changes when scores may change.
    """

    model: Any
    processor: Any
    device: torch.device
    device_reason: str
    version: str


def load_judge(settings: JudgeSettings) -> LoadedJudge:
    """Load base and adapter, merge, cast, and move to the device.

    Raises:
        JudgeUnavailable: Files are missing, or the adapter belongs to another base.
    """
    device, reason = resolve_device(settings.device)
    dtype = _dtype(settings, device)
    base = local_folder(settings.base_source, "base")
    try:
        config = AutoConfig.from_pretrained(base)
        model: Any = AutoModelForImageTextToText.from_pretrained(
            base,
            config=config,
            dtype=torch.float32,
        )
        processor = AutoProcessor.from_pretrained(base)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, KeyError) as error:
        raise JudgeUnavailable(f"the judge's base in {base} cannot be loaded: {error}") from error
    hashes = [content_hash(base)]
    if settings.adapter_source is not None:
        adapter = local_folder(settings.adapter_source, "adapter")
        model = merge_adapter(model, adapter)
        hashes.append(content_hash(adapter))
    name = settings.base if settings.base == "demo" else base.name
    digest = hashlib.sha256(
        "/".join(
            [*hashes, prompt.VERSION, str(settings.visual_tokens), str(_CODE_VERSION)]
        ).encode()
    ).hexdigest()[:10]
    patches = model.model.visual.patch_embed
    patches.proj = _PatchProjection.of(patches.proj)
    ready: Any = model.to(device=device, dtype=dtype)
    ready.eval().requires_grad_(False)
    return LoadedJudge(
        model=ready,
        processor=processor,
        device=device,
        device_reason=f"{reason}, {str(dtype).removeprefix('torch.')}",
        version=f"{name}-{prompt.VERSION}-{digest}",
    )


def merge_adapter(model: Any, adapter: Path) -> Any:
    """Put a LoRA adapter into the weights of a float32 model, and return that model.

    Raises:
        JudgeUnavailable: Names in the adapter and places for them in the base differ.
    """
    try:
        config = PeftConfig.from_pretrained(str(adapter))
        saved = load_peft_weights(str(adapter), device="cpu")
        config.base_model_name_or_path = None  # peft would look there; the base is what we give it
        wrapped = PeftModel(model, config)
    except (OSError, ValueError) as error:
        raise JudgeUnavailable(f"the adapter in {adapter} cannot be loaded: {error}") from error
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
        raise JudgeUnavailable(
            f"the adapter in {adapter} is not for this base: {len(wrong)} of its tensors have no "
            f"counterpart of the same shape, the first is {wrong[0]}"
        )
    wrapped.load_adapter(str(adapter), "default", is_trainable=False)
    return wrapped.merge_and_unload()


class _PatchProjection(nn.Linear):
    """The convolution over patches as the matrix product it is: its stride is its kernel.

    The product is the faster of the two. (transformers can do the same, but then replaces the class
    for the whole process, models in training included.)
    """

    @classmethod
    def of(cls, convolution: nn.Conv3d) -> "_PatchProjection":
        kernels = convolution.weight.flatten(1)  # (D, channels x frames x height x width)
        made = cls(kernels.shape[1], kernels.shape[0], bias=convolution.bias is not None)
        made.weight, made.bias = nn.Parameter(kernels), convolution.bias  # type: ignore[assignment]
        return made

    def forward(self, patches: Tensor) -> Tensor:
        """Project patches (N, channels, frames, height, width) to (N, D)."""
        return super().forward(patches.flatten(1))


def local_folder(source: str, what: str) -> Path:
    """A local folder, downloaded first if it is a hub name."""
    if Path(source).is_dir():
        return Path(source)
    if source.startswith((".", "/", "~")) or source.count("/") != 1:
        raise JudgeUnavailable(
            f"the judge's {what} {source!r} is neither a folder nor a hub name like `org/model`"
        )
    try:
        return Path(
            snapshot_download(
                source, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.jinja"]
            )
        )
    except Exception as error:  # the hub client raises many kinds; all mean that it is not here
        raise JudgeUnavailable(
            f"the judge's {what} {source!r} cannot be had from the hub: {error}"
        ) from error


def content_hash(folder: Path) -> str:
    """Over all weights and configs of a folder."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.iterdir()):
        if path.suffix in {".safetensors", ".json"} and path.name != "adapter_config.json":
            digest.update(path.name.encode())
            with path.open("rb") as file:
                while block := file.read(1 << 22):
                    digest.update(block)
    return digest.hexdigest()


def _dtype(settings: JudgeSettings, device: torch.device) -> torch.dtype:
    if settings.dtype != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[settings.dtype]
    has_it = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if has_it else torch.float32
