"""`python -m app.worker` with a reranker that scores nothing before the file `RELEASE` exists, and
fails at everything while a file `BROKEN` stands beside it.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.worker.__main__ import main
from tests.app.worker.fake_reranker import WAIT_S, FakeReranker


class HeldReranker(FakeReranker):
    def _called(self, name: str, what: object) -> None:
        super()._called(name, what)
        if Path(os.environ["RELEASE"]).with_name("BROKEN").exists():
            raise RuntimeError("the device is gone")

    def score(self, prefix: Any, candidates: Sequence[Any]) -> list[float]:
        give_up_at = time.monotonic() + WAIT_S
        while not Path(os.environ["RELEASE"]).exists() and time.monotonic() < give_up_at:
            time.sleep(0.01)
        return super().score(prefix, candidates)


if __name__ == "__main__":
    main(HeldReranker())
