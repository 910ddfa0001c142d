"""`python -m models.training …`: train models for a catalogue of one's own, or those we ship.

Of one's own: `synthesize` queries, train a `reranker` adapter on them, fine-tune an `encoder`.
Shipped: `demo-encoder` and `demo-reranker` are made from nothing.
"""

import shlex
import sys
from collections.abc import Callable, Sequence

from pydantic import ValidationError

from models.command_line import parse
from models.errors import InputError
from models.reranker.loading import RerankerLoadError
from models.settings import sentences
from models.training.demo_reranker import pipeline
from models.training.encoder import demo as demo_encoder
from models.training.encoder import finetune as encoder
from models.training.options import (
    LIST_FLAGS,
    DemoEncoderOptions,
    DemoRerankerOptions,
    EncoderOptions,
    Options,
    RerankerOptions,
    SynthesizeOptions,
)
from models.training.reranker import finetune as reranker
from models.training.reranker import synthesize
from models.training.reranker.lora import UnfitBase

_OK, _USAGE, _INTERRUPTED = 0, 2, 130
_INPUT_ERRORS = (InputError, RerankerLoadError, UnfitBase, FileNotFoundError)
_PROGRAM = ("python", "-m", "models.training")
_COMMANDS: dict[str, tuple[Callable[..., Options], str]] = {
    "synthesize": (SynthesizeOptions, "queries and candidates from a manifest"),
    "reranker": (RerankerOptions, "a LoRA adapter for a catalogue"),
    "encoder": (EncoderOptions, "an encoder, fine-tuned on captions"),
    "demo-encoder": (DemoEncoderOptions, "the demo encoder, from nothing"),
    "demo-reranker": (
        DemoRerankerOptions, "the demo reranker, from nothing: vision tower, base, adapter",
    ),
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and train; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        options = _parse(given)
        if options is None:
            return _OK
        _train(options, shlex.join([*_PROGRAM, *given]))
    except ValidationError as error:
        for sentence in sentences(error, _flag):
            print(f"error: {sentence}", file=sys.stderr)
        return _USAGE
    except _INPUT_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return _USAGE
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)
        return _INTERRUPTED
    return _OK


def _parse(arguments: Sequence[str]) -> Options | None:
    """The options of a command; None: help was asked for, and printed."""
    return parse(
        _COMMANDS, arguments, program=" ".join(_PROGRAM), about=__doc__, list_flags=LIST_FLAGS
    )


def _train(options: Options, command_line: str) -> None:
    match options:
        case SynthesizeOptions():
            synthesize.run(options)
        case RerankerOptions():
            reranker.run(options, command_line)
        case EncoderOptions():
            encoder.run(options, command_line)
        case DemoEncoderOptions():
            demo_encoder.train(options)
        case DemoRerankerOptions():
            pipeline.train(options)


def _flag(at: Sequence[int | str]) -> str:
    """The flag that sets a value of the settings."""
    return "--" + "-".join(str(part).replace("_", "-") for part in at) if at else ""


if __name__ == "__main__":
    sys.exit(main())
