"""How plots look and how they become files: one palette, no display, light and dark pages."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# a near-black that nothing else uses, so that a page can put its own text colour in its place
INK = "#1d2331"
# Okabe & Ito, "Color Universal Design", 2008: told apart by all common kinds of colour vision
BLUE, ORANGE, GREEN, VERMILION = "#0072b2", "#e69f00", "#009e73", "#d55e00"
_DPI = 150
_WIDTH_IN = 7.2
_STYLE: dict[Any, Any] = {  # matplotlib's type for this lists four hundred keys
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color"), INK),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#8a93a3",
    "grid.alpha": 0.3,
    "axes.titlesize": "medium",
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "font.size": 10,
    "hatch.color": "white",
    "hatch.linewidth": 0.7,
    "text.parse_math": False,  # `$` in a name is a dollar
    "svg.fonttype": "none",  # letters stay letters
    "svg.hashsalt": "evaluation",  # ids do not change from run to run
}


def new_axes(height_in: float) -> tuple[Figure, Axes]:
    """An empty figure of the report's width; call it inside `style()`."""
    figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
    return figure, figure.subplots()


@contextmanager
def style() -> Iterator[None]:
    """Inside, figures are drawn and saved in the report's style; outside, nothing has changed."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # kinds may be named in a script that the plot font lacks: boxes there, words in the tables
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def save(figure: Figure, folder: Path, stem: str) -> list[Path]:
    """Write `stem.png` (white ground) and `stem.svg` (no ground) into the folder."""
    png, svg = folder / f"{stem}.png", folder / f"{stem}.svg"
    with style():
        figure.savefig(png, dpi=_DPI, facecolor="white")
    svg.write_text(_svg(figure), encoding="utf-8")
    return [png, svg]


def inline_svg(figure: Figure) -> str:
    """The figure as an `<svg>` element for a HTML page: its ink is the page's text colour.

    Namespaces are left out (HTML knows them), so the page names no address at all.
    """
    svg = _svg(figure)
    svg = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", svg[svg.index("<svg") :])
    return svg.replace("xlink:href", "href").replace(INK, "currentColor")


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with style():
        figure.savefig(buffer, format="svg", facecolor="none", metadata=nothing)
    return buffer.getvalue()
