"""`python -m models.training …`: train models for a catalogue of one's own, or those we ship.

Of one's own: `synthesize` queries, train a `reranker` adapter on them, fine-tune an `encoder`.
Shipped: `demo-encoder` and `demo-judge` are made from nothing.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from models.errors import InputError
from models.reranker.loading import RerankerLoadError
from models.settings import sentences
from models.training.demo_reranker import pipeline
from models.training.encoder import demo as demo_encoder
from models.training.encoder import finetune as encoder
from models.training.reranker import finetune as reranker
from models.training.reranker import synthesize
from models.training.reranker.lora import UnfitBase

_OK, _USAGE, _INTERRUPTED = 0, 2, 130
_INPUT_ERRORS = (InputError, RerankerLoadError, UnfitBase, FileNotFoundError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and train; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m models.training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("synthesize", help="queries and candidates from a manifest")
    synthesize.add_arguments(command)
    command.set_defaults(run=synthesize.run)
    command = commands.add_parser("reranker", help="a LoRA adapter for a catalogue")
    reranker.add_arguments(command)
    command.set_defaults(run=reranker.run)
    command = commands.add_parser("encoder", help="an encoder, fine-tuned on captions")
    encoder.add_arguments(command)
    command.set_defaults(run=encoder.run)
    command = commands.add_parser("demo-encoder", help="the demo encoder, from nothing")
    demo_encoder.add_arguments(command)
    command.set_defaults(run=demo_encoder.train)
    command = commands.add_parser(
        "demo-judge", help="the demo reranker, from nothing: vision tower, base, adapter"
    )
    pipeline.add_arguments(command)
    command.set_defaults(run=pipeline.train)
    given = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_args(given)
    options.invocation = shlex.join(["python", "-m", "models.training", *given])
    try:
        options.run(options)
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


def _flag(at: Sequence[int | str]) -> str:
    """The flag that sets a value of the settings."""
    return "--" + "-".join(str(part).replace("_", "-") for part in at) if at else ""


if __name__ == "__main__":
    sys.exit(main())
