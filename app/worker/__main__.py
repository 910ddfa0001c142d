"""A worker, with the settings of the environment."""

import math
from dataclasses import dataclass
from typing import Annotated, NoReturn

from typer import Option

from app.web import server, startup
from app.worker.inference.model import AnyReranker
from app.worker.main import begin_drain, create_app
from app.worker.settings import settings_from_environment


@dataclass(frozen=True, kw_only=True)
class WorkerOptions(server.ListenOptions):
    """`python -m app.worker`."""

    port: Annotated[int, Option(help="port to listen on")] = 8100


def main(reranker: AnyReranker | None = None) -> NoReturn:
    """Serve until told to stop, then drain; ends with an exit code.

    Args:
        reranker: Default: loaded as the settings say.
    """

    def make_server(host: str, port: int) -> server.Server:
        settings = startup.settings_or_exit(settings_from_environment)
        app = create_app(settings, reranker)
        # a second more than the worker takes itself, for clients that do not read what it sends
        grace_s = math.ceil(settings.shutdown_grace_s) + 1
        return server.http_server(app, host, port, grace_s, on_exit=lambda: begin_drain(app))

    server.main(make_server, "python -m app.worker", __doc__, WorkerOptions)


if __name__ == "__main__":
    main()
