"""`python -m app.worker`: a worker, with the settings of the environment."""

import math
from typing import NoReturn

from app.web import server, startup
from app.worker.inference.model import AnyReranker
from app.worker.main import begin_drain, create_app
from app.worker.settings import settings_from_environment


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

    server.main(make_server, "python -m app.worker", port=8100)


if __name__ == "__main__":
    main()
