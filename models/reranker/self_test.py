"""What every working judge shows on pairs nobody can mistake: checks on its answers alone.

A reranker can load without an error and still not rerank: pictures that never reach the language
model, a head that was not in the file, a prompt it was not trained on. Re-rankers behind generic
servers are known to say 0.5 to everything then. What gives them away was measured with the shipped
reranker, whole and broken, on `probes`:

| judge                                 | logits of one probe differ by | yes and no together have |
|---------------------------------------|-------------------------------|--------------------------|
| whole, float32 or bfloat16            | 2.3 to 11.0                   | 1.00                     |
| its base without the adapter          | 1.1 to 6.4                    | 1.00                     |
| blind: visual tokens are all the same | 0                             | 1.00                     |
| head zero                             | 0                             | 0.003                    |
| head random                           | 0.2 to 0.3                    | 0.003                    |
| all weights random                    | 0.1 to 6.4                    | 0.003 or less            |
| asked for other words, or by another  | 0.1 to 0.5                    | 0.00001 or less          |
| model's template                      |                               |                          |

So neither check replaces the other. They do not see a reranker that is merely bad, or one that lost
an adapter trained on a base that reranks already; for adapters, `loading` compares every tensor.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageDraw

MIN_LOGIT_SPREAD = 0.1  # of any one probe: far above noise, far below the least of a reranker
MIN_ANSWER_MASS = 0.1  # on average: random weights give two words of V their 2 / V

_LEAST_CHANCE = 1e-7  # float32 scores of a sure judge are 0 and 1 exactly


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


def check_answer_mass(shares: Sequence[float], yes: str, no: str) -> None:
    """Check that yes and no are what the reranker is about to say.

    Args:
        shares: For each pair, the probability that the next token is one of the two, 0 to 1.
        yes: The word for it.
        no: The word for it.

    Raises:
        SelfTestFailed: On average it would rather say something else.
    """
    share = sum(shares) / len(shares)
    if not share >= MIN_ANSWER_MASS:  # NaN too
        raise SelfTestFailed(
            f"asked for {yes} or {no}, the reranker wants to say something else: {yes} and {no} "
            f"have "
            f"{share:.1g} of the probability together, and should have {MIN_ANSWER_MASS} at "
            "least; its template is not the one it was trained with, or weights are missing"
        )


def _spread(scores: Sequence[float]) -> float:
    """How far apart the largest and the smallest logit are."""
    chances = [min(max(score, _LEAST_CHANCE), 1 - _LEAST_CHANCE) for score in scores]
    logits = [math.log(chance / (1 - chance)) for chance in chances]
    return max(logits) - min(logits)


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
