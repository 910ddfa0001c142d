"""`python -m models.training encoder …`: trains the models this package ships, or yours."""

import argparse

from models.training import encoder


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m models.training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("encoder", help="train an encoder from image–caption pairs")
    encoder.add_arguments(command)
    command.set_defaults(run=encoder.train)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
