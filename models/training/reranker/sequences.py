"""Examples as token rows, with pictures of any shape."""

from collections.abc import Callable, Mapping

from models.contracts.intent import Intent
from models.reranker.intent_format import format_intent
from models.reranker.prompts import CIR, QWEN_VL, Prompt
from models.training.packing import Batch, PieceWriter, Places, Row, places_of
from models.training.reranker.examples import RerankExample
from models.training.reranker.features import Grid

INTENT, ANSWER = 1, 2  # kinds of what the model must say

LocatedRow = Row[str]  # pictures are known by their locations
LocatedBatch = Batch[str]


class RowWriter(PieceWriter[str]):
    """Writes examples as rows."""

    def __init__(
        self,
        tokenize: Callable[[str], list[int]],
        image_token: int,
        merge: int,
        grid_of: Callable[[str], Grid],
    ) -> None:
        """Prepare.

        Args:
            tokenize: A piece of text → token ids, nothing added.
            image_token: The id that stands for a visual token.
            merge: Patches per side of one visual token.
            grid_of: A picture's location → its patches.
        """

        def places(location: str) -> Places:
            _, rows, columns = grid_of(location)
            return places_of(rows // merge, columns // merge)

        super().__init__(tokenize, image_token, places)

    def write(
        self,
        example: RerankExample,
        locations: Mapping[int, str],
        *,
        shows_target: bool,
        asks_intent: bool,
    ) -> LocatedRow:
        """An example as a row.

        Args:
            example: The query and its candidates.
            locations: Of the pictures by number.
            shows_target: Whether the question names the target.
            asks_intent: Whether the intent is a branch; yes-or-no answers always are.
        """
        row = self.trunk(PROMPT.prefix(example.text), locations[example.reference])
        if asks_intent and PROMPT.compose_instruction is not None:
            self.fork(row)
            self.say(row, PROMPT.compose_instruction)
            self.say(row, intent_answer(example.intent), asked=INTENT)
        for candidate in example.candidates:
            self.fork(row)
            target = example.intent.target if shows_target else None
            self.say(row, PROMPT.candidate(target), [locations[candidate.picture]])
            self.say(row, PROMPT.yes if candidate.relevant else PROMPT.no, asked=ANSWER)
        return row


PROMPT = Prompt(CIR, QWEN_VL)


def intent_answer(intent: Intent) -> str:
    """The answer to the template's `ask`, with its end."""
    said = format_intent(
        intent.target, list(intent.preserve), list(intent.desired), list(intent.forbidden)
    )
    return PROMPT.answer(said)
