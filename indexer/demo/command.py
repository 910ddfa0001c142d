"""`python -m indexer demo`."""

from collections.abc import Iterator

from indexer.demo.catalogue import write_catalogue
from indexer.demo.options import DemoOptions
from models.errors import JobError


def run(options: DemoOptions) -> Iterator[str]:
    """Render a catalogue; yields the line to print.

    Raises:
        InputError: The catalogue can have no pictures of that number or size.
        JobError: The folder cannot be written.
    """
    try:
        manifest = write_catalogue(
            options.out,
            options.images,
            options.seed,
            options.split,
            options.size,
            options.queries,
            options.typed_queries,
            options.families,
            options.questions,
            options.finishes,
        )
    except OSError as error:
        raise JobError(f"{options.out} cannot be written: {error}") from error
    yield f"wrote {manifest}"
