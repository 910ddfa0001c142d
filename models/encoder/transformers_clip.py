"""CLIP models as transformers stores them → the same models as open_clip stores them.

Composed-query CLIPs are published in transformers' layout. Both libraries run the same network, so
names are changed, the three projections of an attention are joined, and transformers itself is not
needed to run one. Pure functions on configs and weights.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

CONFIG, PREPROCESSING, WEIGHTS = "config.json", "preprocessor_config.json", "model.safetensors"
FILES = (CONFIG, PREPROCESSING, WEIGHTS)

_NAMES = {
    "logit_scale": "logit_scale",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",  # spelt like this there
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
}
_TRANSPOSED = {
    "text_projection.weight": "text_projection",
    "visual_projection.weight": "visual.proj",
}
_LAYER = re.compile(r"(text|vision)_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")
_IN_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
_TOWERS = {"text": "transformer", "vision": "visual.transformer"}
_ACTIVATIONS = {"quick_gelu": True, "gelu": False}


def open_clip_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A `CLIPConfig` as the arguments of `open_clip.CLIP`; what it leaves out has CLIP's default.

    Raises:
        ValueError: It is no CLIP, or one that open_clip cannot run.
    """
    if config.get("model_type") != "clip":
        raise ValueError(f"its model type is {config.get('model_type')!r}, not 'clip'")
    text, vision = config.get("text_config") or {}, config.get("vision_config") or {}
    activation = vision.get("hidden_act", "quick_gelu")
    if activation not in _ACTIVATIONS or text.get("hidden_act", "quick_gelu") != activation:
        raise ValueError(f"its towers have an activation ({activation!r}) that open_clip has not")
    vision_width, text_width = vision.get("hidden_size", 768), text.get("hidden_size", 512)
    return {
        "embed_dim": config.get("projection_dim", 512),
        "quick_gelu": _ACTIVATIONS[activation],
        "vision_cfg": {
            "image_size": vision.get("image_size", 224),
            "patch_size": vision.get("patch_size", 32),
            "width": vision_width,
            "layers": vision.get("num_hidden_layers", 12),
            "head_width": vision_width // vision.get("num_attention_heads", 12),
            "mlp_ratio": vision.get("intermediate_size", 3072) / vision_width,
        },
        "text_cfg": {
            "context_length": text.get("max_position_embeddings", 77),
            "vocab_size": text.get("vocab_size", 49408),
            "width": text_width,
            "heads": text.get("num_attention_heads", 8),
            "layers": text.get("num_hidden_layers", 12),
            "mlp_ratio": text.get("intermediate_size", 2048) / text_width,
        },
    }


def open_clip_preprocessing(config: Mapping[str, Any], image_size: int) -> dict[str, Any]:
    """A `CLIPImageProcessor`'s config as open_clip's: the shorter side to `image_size`, the middle
    cut out, normalised.
    """
    return {
        "size": image_size,
        "mean": tuple(config["image_mean"]),
        "std": tuple(config["image_std"]),
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }


def open_clip_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of transformers' `CLIPModel` under open_clip's names.

    Raises:
        ValueError: There is one that `CLIPModel` does not have.
    """
    renamed: dict[str, Tensor] = {}
    for name, value in weights.items():
        if name in _NAMES:
            renamed[_NAMES[name]] = value
        elif name in _TRANSPOSED:
            renamed[_TRANSPOSED[name]] = value.T.contiguous()
        elif (found := _LAYER.fullmatch(name)) is not None:
            renamed |= _in_layer(name, found, weights)
        elif not name.endswith("position_ids"):  # 0, 1, 2, …: old checkpoints keep it
            raise ValueError(f"its weight {name!r} is none of CLIP's")
    return renamed


def _in_layer(
    name: str, found: re.Match[str], weights: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    tower, layer, part, kind = found.groups()
    block = f"{_TOWERS[tower]}.resblocks.{layer}"
    if part in _IN_LAYER:
        return {f"{block}.{_IN_LAYER[part]}.{kind}": weights[name]}
    if part == "self_attn.q_proj":  # stands for all three
        joined = [weights[name.replace("q_proj", f"{which}_proj")] for which in "qkv"]
        return {f"{block}.attn.in_proj_{kind}": torch.cat(joined)}
    if part in {"self_attn.k_proj", "self_attn.v_proj"}:
        return {}
    raise ValueError(f"its weight {name!r} is none of CLIP's")
