"""Pairs nobody can mistake, drawn on the spot: plain shapes in plain colours.

For the self-test of a judge: any model that sees tells them apart, whatever it was trained on.
"""

from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageDraw

_SIDE_PX = 256


@dataclass(frozen=True)
class Shape:
    """A picture of one shape on one ground."""

    kind: Literal["circle", "square", "triangle"]
    colour: str
    ground: str = "white"

    def draw(self) -> Image.Image:
        """The picture, RGB."""
        picture = Image.new("RGB", (_SIDE_PX, _SIDE_PX), self.ground)
        pen, low, high = ImageDraw.Draw(picture), _SIDE_PX // 5, _SIDE_PX * 4 // 5
        if self.kind == "circle":
            pen.ellipse((low, low, high, high), self.colour)
        elif self.kind == "square":
            pen.rectangle((low, low, high, high), self.colour)
        else:
            pen.polygon([(_SIDE_PX // 2, low), (low, high), (high, high)], self.colour)
        return picture


@dataclass(frozen=True)
class Probe:
    """A composed query and candidates; the first fits, the others do not.

    Attributes:
        target: What fits, in words.
    """

    reference: Shape
    modification_text: str
    target: str
    candidates: tuple[Shape, ...]


_RED, _BLUE = Shape("circle", "red"), Shape("circle", "blue")
_SQUARE, _TRIANGLE = Shape("square", "green"), Shape("triangle", "orange", "black")

PROBES = (
    Probe(_RED, "the same but blue", "a blue circle", (_BLUE, _RED, _SQUARE, _TRIANGLE)),
    Probe(_BLUE, "a green square instead", "a green square", (_SQUARE, _BLUE, _RED, _TRIANGLE)),
    Probe(
        _SQUARE,
        "an orange triangle on a black background",
        "an orange triangle",
        (_TRIANGLE, _SQUARE, _BLUE, _RED),
    ),
)
