"""`python -m app.api`: the API alone, with the settings of the environment."""

from app.api.main import GRACE_S, create_app
from app.web.server import main

if __name__ == "__main__":
    main(create_app, "python -m app.api", port=8000, grace_s=GRACE_S)
