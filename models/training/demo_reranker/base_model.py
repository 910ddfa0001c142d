"""A reranker's base from nothing: a small Qwen3-VL and its processor, with random weights.

The folder has the layout of a hub model, so everything that loads a real one loads this one.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
    set_seed,
)

SPECIAL_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
# the templates of Qwen-VL: roles, and a picture as one pad token that the processor multiplies
_CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}"
    "{% else %}{% for c in m.content %}{% if c.type == 'image' %}<|vision_start|><|image_pad|>"
    "<|vision_end|>{% else %}{{ c.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# words with the space before them, digits one by one, punctuation, line ends: as Qwen splits
_SPLIT = Regex(r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s*[\r\n]|\s+")


def create_processor(
    texts: Iterable[str], vocabulary: int, image_px: int, patch: int, merge: int
) -> Qwen3VLProcessor:
    """Learn a byte-level BPE tokenizer from texts and put an image processor beside it."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_SPLIT, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    special = [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
    )
    pixels = {"shortest_edge": image_px**2, "longest_edge": image_px**2}
    looks: dict[str, Any] = {
        "patch_size": patch, "merge_size": merge, "temporal_patch_size": 2, "size": pixels,
        "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
    }  # fmt: skip
    return Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(**looks),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(**looks),
        chat_template=_CHAT_TEMPLATE,
    )


def create_model(
    processor: Qwen3VLProcessor,
    image_px: int,
    *,
    vision: dict[str, Any],
    text: dict[str, Any],
    seed: int = 0,
) -> Qwen3VLForConditionalGeneration:
    """A randomly initialised Qwen3-VL whose token ids are the processor's."""
    set_seed(seed)
    ids = processor.tokenizer.convert_tokens_to_ids
    patch, merge = processor.image_processor.patch_size, processor.image_processor.merge_size
    config = Qwen3VLConfig(
        vision_config={
            "patch_size": patch,
            "spatial_merge_size": merge,
            "temporal_patch_size": 2,
            "num_position_embeddings": (image_px // patch) ** 2,
            "out_hidden_size": text["hidden_size"],
            **vision,
        },
        text_config={
            "vocab_size": len(processor.tokenizer),
            "eos_token_id": ids("<|im_end|>"),
            **text,
        },
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    return Qwen3VLForConditionalGeneration(config)


def save(model: Qwen3VLForConditionalGeneration, processor: Qwen3VLProcessor, folder: Path) -> None:
    """Write weights, config and processor files."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
