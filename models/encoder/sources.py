"""The name of an encoder → the model, with errors that name the nearest right name.

Beside open_clip's own names (`ViT-B-32` with a pretrained tag or a weights file, `hf-hub:org/name`,
`local-dir:/path`) there is `hf-clip:org/name` or `hf-clip:/path`: a CLIP in transformers' layout.
"""

import difflib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from safetensors.torch import load_file

from models import hub
from models.encoder import transformers_clip
from models.hub import Download, ModelUnavailable
from models.settings import EncoderSettings

HF_CLIP, HF_HUB, LOCAL_DIR = "hf-clip:", "hf-hub:", "local-dir:"
_WHAT = "the encoder"
_HUB_FILES = ("open_clip_config.json", "open_clip_model.safetensors")


@dataclass(frozen=True)
class LoadedEncoder:
    """A model on its device.

    Attributes:
        model: open_clip's, float32, with pretrained weights.
        preprocess: One RGB picture → float32 (3, H, W).
        tokenize: Texts → int64 (B, context length).
    """

    model: Any
    preprocess: Callable[[Any], torch.Tensor]
    tokenize: Callable[[list[str]], torch.Tensor]


def load_encoder(settings: EncoderSettings, device: torch.device) -> LoadedEncoder:
    """Load a model, downloading it first if need be.

    Raises:
        ModelUnavailable: No such model, no such weights, or they cannot be had.
    """
    if settings.source.startswith(HF_CLIP):
        return _load_hf_clip(settings.source.removeprefix(HF_CLIP), device)
    check_names(settings)
    try:
        missing_weights(settings)  # says at once what open_clip would retry for a minute
        model, _, preprocess = open_clip.create_model_and_transforms(
            settings.source,
            pretrained=settings.pretrained,
            device=device,
            require_pretrained=True,
        )
        return LoadedEncoder(model, preprocess, open_clip.get_tokenizer(settings.source))
    except Exception as error:  # open_clip lets errors of files, tensors and the hub through
        repository = repository_of(settings)
        if repository is not None:
            reason = hub.explain_error(error, repository)
        else:
            reason = f"its files could not be loaded: {error}"
        raise ModelUnavailable(f"{_WHAT} {_described(settings)} cannot be had: {reason}") from error


def check_names(settings: EncoderSettings) -> None:
    """Check the names of model and weights, without loading anything.

    Raises:
        ModelUnavailable: There is none of that name; the sentence has the nearest that there are.
    """
    name, tag = settings.source, settings.pretrained
    if name.startswith(LOCAL_DIR):
        _check_folder(Path(name.removeprefix(LOCAL_DIR)))
    if name.startswith((HF_CLIP, HF_HUB, LOCAL_DIR)):
        return
    if name not in open_clip.list_models():
        raise ModelUnavailable(
            f"there is no encoder {name!r}; {_nearest(name, open_clip.list_models())}. Models from "
            "elsewhere are `hf-hub:org/name`, `hf-clip:org/name` or `local-dir:/path`"
        )
    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag is None:
        raise ModelUnavailable(
            f"{_WHAT} {name!r} needs weights: a weights file, or one of its pretrained tags: "
            f"{', '.join(tags) or 'it has none'}"
        )
    if not open_clip.pretrained.is_pretrained_cfg(name, tag) and not os.path.isfile(tag):
        raise ModelUnavailable(
            f"{tag!r} is neither a pretrained tag of the encoder {name!r} nor a weights file here; "
            f"{_nearest(tag, tags)}"
        )


def repository_of(settings: EncoderSettings) -> str | None:
    """The hub repository that the weights come from; None if they come from elsewhere."""
    name = settings.source
    for prefix in (HF_CLIP, HF_HUB):
        if name.startswith(prefix):
            return None if Path(name.removeprefix(prefix)).is_dir() else name.removeprefix(prefix)
    known = open_clip.pretrained.get_pretrained_cfg(name, settings.pretrained or "")
    return known.get("hf_hub", "").rstrip("/") or None


def missing_weights(settings: EncoderSettings) -> Download | None:
    """What loading would download; downloads nothing. None: nothing, or not from the hub.

    Raises:
        ModelUnavailable: There is no encoder of that name.
    """
    check_names(settings)
    repository = repository_of(settings)
    if repository is None:
        return None
    files = transformers_clip.FILES if settings.source.startswith(HF_CLIP) else _HUB_FILES
    return hub.pending_download(repository, _WHAT, files)


def _load_hf_clip(source: str, device: torch.device) -> LoadedEncoder:
    folder = hub.local_folder(source, _WHAT, transformers_clip.FILES)
    try:
        config = transformers_clip.open_clip_config(_read_json(folder / transformers_clip.CONFIG))
        preprocessing = transformers_clip.open_clip_preprocessing(
            _read_json(folder / transformers_clip.PREPROCESSING), config["vision_cfg"]["image_size"]
        )
        weights = transformers_clip.open_clip_weights(load_file(folder / transformers_clip.WEIGHTS))
        model = open_clip.CLIP(**config)
        model.load_state_dict(weights)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelUnavailable(
            f"{_WHAT} in {folder} cannot be loaded as a CLIP in transformers' layout: {error}"
        ) from error
    open_clip.set_model_preprocess_cfg(model, preprocessing)
    return LoadedEncoder(
        model.to(device),
        image_transform_v2(PreprocessCfg(**preprocessing), is_train=False),
        open_clip.SimpleTokenizer(context_length=config["text_cfg"]["context_length"]),
    )


def _read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content


def _check_folder(folder: Path) -> None:
    if not (folder / _HUB_FILES[0]).is_file():
        wrong = f"has no {_HUB_FILES[0]}" if folder.is_dir() else "is not there"
        raise ModelUnavailable(
            f"{_WHAT}'s folder {folder} {wrong}; it must hold {' and '.join(_HUB_FILES)}"
        )


def _described(settings: EncoderSettings) -> str:
    weights = f" with the weights {settings.pretrained!r}" if settings.pretrained else ""
    return f"{settings.model!r}{weights}"


def _nearest(name: str, names: Sequence[str]) -> str:
    by_lower = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.lower(), by_lower, n=4, cutoff=0.4)
    if close:
        return f"the nearest are {', '.join(by_lower[one] for one in close)}"
    return f"there are {', '.join(names[:8])}{', …' if len(names) > 8 else ''}"
