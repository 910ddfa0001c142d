"""`python -m models.training encoder …`, `… reranker …`: train the models we ship, or yours."""

import argparse

from models.training import encoder, reranker


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m models.training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("encoder", help="train an encoder from image–caption pairs")
    encoder.add_arguments(command)
    command.set_defaults(run=encoder.train)
    command = commands.add_parser(
        "reranker", help="train a judge: vision tower, base, LoRA adapter"
    )
    reranker.add_arguments(command)
    command.set_defaults(run=reranker.train)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
