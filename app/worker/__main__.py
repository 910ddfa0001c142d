"""`python -m app.worker`: a worker, with the settings of the environment."""

from app.web.server import main
from app.worker.main import create_app

if __name__ == "__main__":
    main(create_app, "python -m app.worker", port=8100)  # its settings say how long it may finish
