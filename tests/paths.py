"""Where the tests find the project, and the data that lies beside it."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"  # not part of the project: tests skip without it
