"""`python -m app`: the service with the embedded gallery, in one command."""

import argparse
import sys

import uvicorn
from pydantic import ValidationError

from app.api.main import create_app


def main() -> int:
    """Serve until interrupted; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m app", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="default %(default)s")
    parser.add_argument("--port", type=int, default=8000, help="default %(default)s")
    options = parser.parse_args()
    try:
        app = create_app()
    except (ValidationError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"serving on http://{options.host}:{options.port}/ (stop with Ctrl-C)", flush=True)
    uvicorn.run(app, host=options.host, port=options.port, log_config=None, access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
