"""Text towers → a forward pass over the places that texts fill, not over the whole context.

With a causal mask no token sees those after it, and the embedding is read at the end-of-text token:
what pads a text to the context length changes nothing but the time it takes.
"""

from collections.abc import Callable
from typing import cast

import open_clip
import torch
from open_clip.transformer import text_global_pool
from torch import Tensor

TextReader = Callable[[Tensor], Tensor]


def text_reader(model: torch.nn.Module) -> TextReader:
    """A function from tokens, int64 (B, context length), to features, (B, D), not normalised.

    CLIP's own text tower is read as far as the longest text goes; any other (a Hugging Face model,
    one without a causal mask, one that pools elsewhere) by its own `encode_text`.
    """
    if isinstance(model, open_clip.CLIP) and _can_be_cut(model):
        return lambda tokens: _encode(model, tokens)
    return cast(TextReader, model.encode_text)


def _can_be_cut(model: open_clip.CLIP) -> bool:
    return model.text_pool_type == "argmax" and model.attn_mask is not None


def _encode(model: open_clip.CLIP, tokens: Tensor) -> Tensor:
    """`CLIP.encode_text` of open_clip 3.3, cut to L tokens: those up to the last end of text."""
    length = int(tokens.argmax(dim=-1).max()) + 1  # the end of text is the highest id
    tokens = tokens[:, :length]
    dtype = model.transformer.get_cast_dtype()
    hidden = model.token_embedding(tokens).to(dtype)  # (B, L, W)
    hidden = hidden + model.positional_embedding[:length].to(dtype)
    hidden = model.transformer(hidden, attn_mask=model.attn_mask[:length, :length])
    pooled: Tensor = text_global_pool(model.ln_final(hidden), tokens, "argmax")  # (B, W)
    projection = model.text_projection
    if isinstance(projection, torch.nn.Linear):
        pooled = projection(pooled)
    elif projection is not None:
        pooled = pooled @ projection
    return pooled
