"""Images and texts → embeddings in one space, by open_clip's models.

Takes RGB pictures and strings, gives unit-length float32 rows. Blocking: it knows nothing of event
loops; a service calls it from a thread of its own.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import open_clip
import torch
from PIL import Image

from models.device import resolve_device
from models.encoder.patches import patch_reader
from models.encoder.short_texts import text_reader
from models.encoder.sources import load_encoder
from models.encoder.types import Embeddings, Patches
from models.settings import EncoderSettings

_T = TypeVar("_T")

# Part of the fingerprint: raise it when the code between a picture and its embedding changes.
_CODE_VERSION = 1


class ImageTextEncoder:
    """A contrastive image–text model.

    Attributes:
        fingerprint: Changes whenever embeddings would: names the model, and hashes its weights,
            its preprocessing and the version of this code. Galleries carry it.
        embedding_dim: D, the length of every embedding.
        batch_size: Images per forward pass.
        device_reason: Where the model runs and why, for the log.
        has_patches: Whether `encode_patches` can read this kind of model.
        logit_scale: What turns the model's cosines into logits.
    """

    def __init__(self, settings: EncoderSettings) -> None:
        """Load the model.

        Raises:
            ModelUnavailable: There is no such model, or its weights cannot be had.
            JobError: The device is not there.
        """
        self._device, self.device_reason = resolve_device(settings.device)
        self.batch_size = settings.batch_size
        loaded = load_encoder(settings, self._device)
        self._preprocess, self._tokenize = loaded.preprocess, loaded.tokenize
        self._model = loaded.model.eval().requires_grad_(False)
        # convolutions with the channels last take a quarter less time on CPUs
        self._model.visual.to(memory_format=torch.channels_last)
        self._read_patches = patch_reader(self._model.visual)
        self._read_texts = text_reader(self._model)
        self.has_patches = self._read_patches is not None
        self.logit_scale = float(self._model.logit_scale.detach().exp())
        self.fingerprint = _fingerprint(settings, self._model)
        probe = self.encode_texts(["probe"])
        self.embedding_dim = int(probe.shape[1])

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """One RGB picture → the tensor `encode_preprocessed` takes; safe to call in any thread.

        Returns:
            float32 (3, H, W), resized, cropped and normalised as the model was trained.
        """
        return self._preprocess(image)

    @torch.inference_mode()
    def encode_preprocessed(self, tensors: Sequence[torch.Tensor]) -> Embeddings:
        """Embed pictures that `preprocess` prepared.

        Returns:
            float32 (B, D), unit-length rows in the order given.
        """
        rows = [
            _unit_rows(self._model.encode_image(torch.stack(list(chunk)).to(self._device)))
            for chunk in _chunks(tensors, self.batch_size)
        ]
        return np.concatenate(rows) if rows else self._no_rows()

    def encode_images(self, images: Sequence[Image.Image]) -> Embeddings:
        """Embed RGB pictures; float32 (B, D), unit-length rows in the order given."""
        return self.encode_preprocessed([self.preprocess(image) for image in images])

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        """Embed texts; float32 (B, D), unit-length rows. Longer texts than the model's context
        length are cut off, as open_clip does.
        """
        rows = [
            _unit_rows(self._read_texts(self._tokenize(list(chunk)).to(self._device)))
            for chunk in _chunks(texts, self.batch_size)
        ]
        return np.concatenate(rows) if rows else self._no_rows()

    @torch.inference_mode()
    def encode_patches(self, image: Image.Image) -> Patches:
        """Embed one RGB picture place by place, see `patches`.

        Raises:
            NotImplementedError: This kind of model cannot be read like that.
        """
        if self._read_patches is None:
            kind = type(self._model.visual).__name__
            raise NotImplementedError(f"patches of a {kind} cannot be read")
        embeddings = self._read_patches(self.preprocess(image).to(self._device))
        resize_mode = open_clip.get_model_preprocess_cfg(self._model).get("resize_mode", "shortest")
        return Patches(embeddings.cpu().numpy(), _seen_box(*image.size, resize_mode))

    def _no_rows(self) -> Embeddings:
        return np.zeros((0, self.embedding_dim), dtype=np.float32)


def _unit_rows(features: torch.Tensor) -> Embeddings:
    unit = torch.nn.functional.normalize(features.float(), dim=-1)  # (B, D)
    rows: Embeddings = unit.cpu().numpy()
    return rows


def fingerprint_name(settings: EncoderSettings) -> str:
    """The part of a fingerprint before its last hyphen: known without loading the model."""
    return settings.model.rsplit("/", 1)[-1].replace(":", "-")


def _chunks(items: Sequence[_T], size: int) -> list[Sequence[_T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _seen_box(width: int, height: int, resize_mode: str) -> tuple[float, float, float, float]:
    """The square that preprocessing makes of a picture, as shares of the picture's sides."""
    if resize_mode == "squash":
        return (0.0, 0.0, 1.0, 1.0)
    side = max(width, height) if resize_mode == "longest" else min(width, height)
    across, down = side / width, side / height
    return ((1 - across) / 2, (1 - down) / 2, (1 + across) / 2, (1 + down) / 2)


def _fingerprint(settings: EncoderSettings, model: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    preprocessing = open_clip.get_model_preprocess_cfg(model)
    digest.update(json.dumps([preprocessing, _CODE_VERSION], sort_keys=True, default=str).encode())
    return f"{fingerprint_name(settings)}-{digest.hexdigest()[:16]}"
