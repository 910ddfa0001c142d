"""The API alone, with the settings of the environment."""

from app.api.main import GRACE_S, create_app
from app.web.server import http_server, main

if __name__ == "__main__":
    main(
        lambda host, port: http_server(create_app(), host, port, GRACE_S),
        "python -m app.api",
        __doc__,
    )
