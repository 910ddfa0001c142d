"""Finishes: a facet that the demo catalogue can have beside those the shipped models know.

It is there to try on it what a catalogue of one's own needs: an attribute that no model has heard
of. These four are told apart by the shipped judge's frozen vision tower (a linear probe on its
visual tokens: glassy 1.00, metallic 0.95, glowing 0.91, matte 0.58 of 400 pictures); gloss, wood
grain, weave, leather and fur were tried, and are lost between its 16 px patches.
"""

FINISHES = ("matte", "metallic", "glassy", "glowing")

_BANDS = (
    (0, "#fff", 0.9), (0.25, "#111", 0.75), (0.45, "#fff", 0.95),
    (0.6, "#111", 0.7), (0.85, "#fff", 0.85), (1, "#111", 0.7),
)  # fmt: skip
_GLOW = ((0, 1), (0.6, 0.8), (1, 0))


def finished(finish: str, name: str, drawing: str) -> tuple[str, str]:
    """SVG definitions a finish needs, and the drawing of an item with it.

    Args:
        finish: One of `FINISHES`; "" leaves the drawing alone.
        name: A prefix for ids, unique in the picture.
        drawing: The item in its 100 × 100 box. Bands of metal are not drawn here but painted over
            it, see `overlay`.
    """
    if finish == "glassy":
        return "", f'<g opacity=".38">{drawing}</g>'
    if finish == "glowing":
        stops = "".join(
            f'<stop offset="{offset}" stop-color="#fff39a" stop-opacity="{opacity}"/>'
            for offset, opacity in _GLOW
        )
        halo = f'<ellipse cx="50" cy="52" rx="66" ry="62" fill="url(#{name})"/>'
        return f'<radialGradient id="{name}">{stops}</radialGradient>', halo + drawing
    return "", drawing


def overlay(finish: str, name: str) -> tuple[str, list[str]]:
    """SVG definitions, and the fills to lay over an item's paint."""
    if finish != "metallic":
        return "", []
    stops = "".join(
        f'<stop offset="{offset}" stop-color="{colour}" stop-opacity="{opacity}"/>'
        for offset, colour, opacity in _BANDS
    )
    bands = f'<linearGradient id="{name}" x1="0" y1="0" x2="0" y2="1">{stops}</linearGradient>'
    return bands, [f"url(#{name})"]
