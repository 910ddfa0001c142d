"""`python -m indexer …`: the offline jobs. Parses, calls, prints; exit codes are in `--help`."""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from indexer.demo.catalogue import write_catalogue
from indexer.demo.scene import SPLITS
from indexer.evaluation import cli as evaluation
from indexer.gallery import open_writer
from indexer.pipeline.source import check, read_rows
from indexer.settings import IndexerSettings
from models.datasets.manifest import AsAttributes
from models.errors import InputError, JobError
from models.settings import read_settings

_log = logging.getLogger(__name__)

_OK, _FAILED, _USAGE, _INTERRUPTED = 0, 1, 2, 130
_EPILOG = "exit codes: 0 done, 1 the job failed, 2 wrong usage or input, 130 interrupted"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        code: int = options.run(options)
        return code
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return _USAGE
    except (JobError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)
        return _INTERRUPTED
    except Exception:
        _log.exception("an error that is not foreseen")
        print(
            "error: this is a defect of the program, not of what it was given; please report it "
            "with the lines above",
            file=sys.stderr,
        )
        return _FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m indexer", description=__doc__, epilog=_EPILOG)
    commands = parser.add_subparsers(dest="command", required=True)

    demo = commands.add_parser("demo", help="render a demo catalogue", epilog=_EPILOG)
    demo.add_argument("--out", type=Path, required=True, help="folder to write into")
    demo.add_argument("--images", type=int, default=2500, help="how many (default %(default)s)")
    demo.add_argument("--seed", type=int, default=7, help="default %(default)s")
    demo.add_argument("--split", choices=SPLITS, default="test", help="default %(default)s")
    demo.add_argument("--size", type=int, default=160, help="pixels (default %(default)s)")
    demo.add_argument("--queries", type=int, default=800, help="at most (default %(default)s)")
    demo.add_argument(
        "--families", action=argparse.BooleanOptionalAction,
        help="scenes with near neighbours, or independent ones "
        "(default: independent for training, families otherwise)",
    )  # fmt: skip
    demo.add_argument(
        "--questions", type=int, default=0,
        help="yes-or-no questions per image, for training a reranker (default %(default)s)",
    )  # fmt: skip
    demo.add_argument(
        "--finishes", action="store_true",
        help="give items a finish (matte, metallic, …), which the shipped models do not know",
    )  # fmt: skip
    demo.set_defaults(run=_demo)

    build = commands.add_parser("build", help="embed a gallery into Qdrant", epilog=_EPILOG)
    _add_build_arguments(build)
    build.set_defaults(run=_build)

    evaluate = commands.add_parser(
        "evaluate", help="measure the retrieval of a running API", epilog=_EPILOG
    )
    evaluation.add_arguments(evaluate)
    evaluate.set_defaults(run=_evaluate)
    return parser


def _add_build_arguments(build: argparse.ArgumentParser) -> None:
    source = build.add_mutually_exclusive_group(required=True)
    source.add_argument("--images", type=Path, help="a folder of images")
    source.add_argument("--manifest", type=Path, help="a JSONL or CSV manifest")
    build.add_argument(
        "--attributes", type=_column_names, default=(), metavar="A,B,C",
        help="columns of the manifest that are attributes although they are not called so; "
        "`all`: every column that has no meaning of its own",
    )  # fmt: skip
    build.add_argument(
        "--noun", metavar="NAME",
        help="the attribute that names the thing, instead of CIR_INDEXER__NOUN_FACET",
    )  # fmt: skip
    build.add_argument(
        "--check", action="store_true",
        help="only say what is wrong with the input, and what its attributes are; writes nothing",
    )  # fmt: skip
    build.add_argument(
        "--if-none", action="store_true", help="do nothing where there is a gallery already"
    )
    build.add_argument(
        "--report", type=Path, default=Path("data/build-report.json"),
        help="everything that was done and skipped, as JSON (default %(default)s)",
    )  # fmt: skip


def _column_names(text: str) -> AsAttributes:
    return "all" if text == "all" else tuple(name for name in text.split(",") if name)


def _demo(options: argparse.Namespace) -> int:
    manifest = write_catalogue(
        options.out,
        options.images,
        options.seed,
        options.split,
        options.size,
        options.queries,
        options.families,
        options.questions,
        options.finishes,
    )
    print(f"wrote {manifest}")
    return _OK


def _evaluate(options: argparse.Namespace) -> int:
    print("\n".join(evaluation.run(options)))
    return _OK


def _build(options: argparse.Namespace) -> int:
    named = {"noun_facet": options.noun} if options.noun else {}
    settings = read_settings(IndexerSettings, **named)
    rows = read_rows(options.images, options.manifest, options.attributes)
    if options.check:
        print("\n".join(check(rows, settings)))
        return _OK
    # torch and open_clip take seconds to import: not before the input is known to be sound
    from indexer.pipeline.build import BuildFailed, build_gallery  # noqa: PLC0415
    from models.encoder.encoder import ImageTextEncoder  # noqa: PLC0415

    writer = open_writer(settings.gallery)
    try:
        if options.if_none and (generation := writer.published()) is not None:
            print(f"{generation} is in service; --if-none leaves it as it is")
            return _OK
        encoder = ImageTextEncoder(settings.encoder)
        print(f"{len(rows)} images; encoder {encoder.fingerprint} on {encoder.device_reason}")
        report = build_gallery(rows, encoder, writer, settings)
    except BuildFailed as error:
        _write_report(options.report, error.report.as_dict())
        print("\n".join(error.report.skip_lines()))
        raise
    finally:
        writer.close()
    _write_report(options.report, report.as_dict())
    print("\n".join(report.lines()))
    return _OK


def _write_report(path: Path, report: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1), encoding="utf-8")
