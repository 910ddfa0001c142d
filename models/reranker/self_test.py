"""What every working reranker shows on obvious pairs: checks on its answers alone.

A reranker can load without an error and still not rerank: images that never reach the language
model, a head that was not in the file, a prompt it was not trained on. Scores that do not differ,
or two answers that have hardly any probability together, give that away; neither check replaces
the other (tests/models/reranker/test_self_test.py breaks a reranker in each way; models/README.md
has the figures behind the thresholds). They do not see a reranker that is merely bad, or one that
lost an adapter trained on a base that reranks already: `loading` compares every tensor.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageDraw

MIN_LOGIT_SPREAD = 0.1  # of any one probe: far above noise, far below the least of a reranker
MIN_ANSWER_MASS = 0.1  # on average: random weights give two words of V their 2 / V

_LEAST_PROBABILITY = 1e-7  # float32 scores may be 0 and 1 exactly


class SelfTestFailed(RuntimeError):
    """The reranker does not work; the sentence says how that shows."""


def check_scores(scores: Sequence[Sequence[float]]) -> None:
    """Check that scores are scores, and that candidates make a difference to them.

    Args:
        scores: σ(z_yes − z_no) or the like, 0 to 1: for each probe, one per candidate; candidates
            of a probe are obviously different from each other.

    Raises:
        SelfTestFailed: Some are no scores, or all candidates of every probe have the same.
    """
    wrong = [score for probe in scores for score in probe if not 0 <= score <= 1]  # NaN too
    if wrong:
        raise SelfTestFailed(
            f"the reranker gives scores that are none, such as {wrong[0]}; its weights or its "
            "precision are broken"
        )
    spread = max((_spread(probe) for probe in scores if probe), default=0.0)
    if spread < MIN_LOGIT_SPREAD:
        middle = sum(map(sum, scores)) / max(1, sum(map(len, scores)))
        raise SelfTestFailed(
            f"the reranker gives obviously different pictures the same score ({middle:.3f}): "
            f"their logits differ by {spread:.1g}, and should by {MIN_LOGIT_SPREAD} at least; it "
            "does not see them, has no head, or is asked in a format it was not made for"
        )


def check_answer_mass(masses: Sequence[float], yes: str, no: str) -> None:
    """Check that yes and no are the reranker's likely next tokens.

    Args:
        masses: For each pair, the probability that the next token is one of the two, 0 to 1.
        yes: The word for a candidate that fits.
        no: The word for one that does not.

    Raises:
        SelfTestFailed: On average other tokens are likelier.
    """
    mass = sum(masses) / len(masses)
    if not mass >= MIN_ANSWER_MASS:  # NaN too
        raise SelfTestFailed(
            f"asked for {yes} or {no}, the reranker would say something else: {yes} and {no} have "
            f"{mass:.1g} of the probability together, and should have {MIN_ANSWER_MASS} at "
            "least; its template is not the one it was trained with, or weights are missing"
        )


def _spread(scores: Sequence[float]) -> float:
    """The difference of the largest and the smallest logit."""
    least = _LEAST_PROBABILITY
    probabilities = [min(max(score, least), 1 - least) for score in scores]
    logits = [math.log(p / (1 - p)) for p in probabilities]
    return max(logits) - min(logits)


_SIDE_PX = 256


@dataclass(frozen=True)
class Shape:
    """An image of one shape on a plain ground."""

    kind: Literal["circle", "square", "triangle"]
    colour: str
    ground: str = "white"

    def draw(self) -> Image.Image:
        """The image: RGB, 256 px square."""
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
