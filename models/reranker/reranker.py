"""The reranker at work: reads a query once, then composes its intent and scores candidates.

The prompt before the candidate is the same for every candidate of a query, so its keys and values
are computed once (`PrefixState`), and a candidate costs its own visual tokens and one short
question. Pictures pass the vision tower once; their features can be kept (`VisualFeatures`).

What is asked is the prompt's; how the model is run is its architecture's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from PIL import Image
from torch import Tensor
from transformers import DynamicCache

from models.contracts.intent import ComposedIntent
from models.reranker import intent_format
from models.reranker.architectures.base import PreparedImage, VisualFeatures
from models.reranker.architectures.registry import architecture_of
from models.reranker.loading import RerankerParts, load_reranker
from models.reranker.prompts import Prompt
from models.reranker.self_test import PROBES, check_answer_mass, check_scores
from models.settings import RerankerSettings

_MAX_ANSWER_TOKENS = 160


class ComposeUnsupported(ValueError):
    """The reranker's template has no words to ask for an intent."""


@dataclass(frozen=True)
class PrefixState:
    """The prompt up to a point, as the language model has read it.

    Attributes:
        layers: Keys and values of every layer, each (1, heads, length, head size).
        next_position: The position of the token that comes next.
        target: What the target image shows, for the question; None where it is not known.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]
    next_position: int
    target: str | None = None

    @property
    def nbytes(self) -> int:
        """Memory on the device."""
        return sum(k.nbytes + v.nbytes for k, v in self.layers)


class Reranker:
    """Composes intents and scores candidates. Blocking; one call at a time, `prepare` excepted.

    Logits that become scores are formed in float32, whatever the precision of the model.

    Attributes:
        version: Names base, adapter and template; changes when scores may change.
        device_reason: Where it runs, in which precision, and why.
    """

    def __init__(self, settings: RerankerSettings, loaded: RerankerParts | None = None) -> None:
        """Load the reranker, or take one that is loaded.

        Raises:
            ModelUnavailable: It cannot be loaded.
        """
        self._settings = settings
        self._loaded = loaded or load_reranker(settings)
        self.version, self.device_reason = self._loaded.version, self._loaded.device_reason
        self._architecture = architecture_of(self._loaded.model, self._loaded.processor)
        self._prompt = Prompt(self._loaded.template, self._architecture.chat)
        self._head = self._architecture.head  # (V, D)
        self._yes, self._no, self._end = (
            self._one_token(word)
            for word in (self._prompt.yes, self._prompt.no, self._architecture.chat.end_of_turn)
        )
        # σ(z_yes − z_no) needs two rows of the vocabulary head, and of those only the difference
        self._yes_minus_no = self._head[self._yes].float() - self._head[self._no].float()  # (D,)

    @property
    def composes(self) -> bool:
        """Whether it can be asked for intents."""
        return self._prompt.compose_instruction is not None

    def prepare(self, picture: Image.Image) -> PreparedImage:
        """Scale an image to at most the visual tokens set; any thread."""
        return self._architecture.prepare(picture, self._settings.visual_tokens)

    @torch.inference_mode()
    def features(self, images: Sequence[PreparedImage]) -> list[VisualFeatures]:
        """Run the vision tower over a batch of images."""
        return self._architecture.features(images)

    def prefill(self, reference: PreparedImage, modification_text: str) -> PrefixState:
        """Read instruction, reference and request."""
        features = self.features([reference])
        ids = self._ids(self._prompt.prefix(modification_text), features)
        return self._forward(None, ids, features)[0]

    def with_target(self, prefix: PrefixState, target: str) -> PrefixState:
        """The same prefix, for a question that names what the target image shows."""
        return replace(prefix, target=target if self._settings.shows_target else None)

    @torch.inference_mode()
    def compose(self, prefix: PrefixState) -> ComposedIntent:
        """Generate the intent, always taking the likeliest token.

        Raises:
            ComposeUnsupported: See `composes`.
            IntentParseError: The answer names no target.
        """
        if self._prompt.compose_instruction is None:
            raise ComposeUnsupported(
                f"the reranker {self.version} composes no intents; it only scores"
            )
        answer = self._generate(
            prefix, self._ids(self._prompt.compose_instruction), _MAX_ANSWER_TOKENS
        )
        return intent_format.parse_intent(self._architecture.tokenizer.decode(answer))

    @torch.inference_mode()
    def score(self, prefix: PrefixState, candidates: Sequence[VisualFeatures]) -> list[float]:
        """The relevance of each candidate: σ(z_yes − z_no) at the last position, 0 to 1.

        Candidates with grids of the same shape go through the model together, unpadded.
        """
        scores = [0.0] * len(candidates)
        for rows, hidden in self._score_groups(prefix, candidates):
            logits = hidden.float() @ self._yes_minus_no  # (B,)
            for row, score in zip(rows, logits.sigmoid().tolist(), strict=True):
                scores[row] = score
        return scores

    @torch.inference_mode()
    def answer_mass(self, prefix: PrefixState, candidates: Sequence[VisualFeatures]) -> list[float]:
        """The probability that the next token is yes or no, for each candidate, 0 to 1."""
        masses = [0.0] * len(candidates)
        for rows, hidden in self._score_groups(prefix, candidates):
            probabilities = (hidden @ self._head.T).float().softmax(-1)  # (B, V)
            both = probabilities[:, self._yes] + probabilities[:, self._no]
            for row, mass in zip(rows, both.tolist(), strict=True):
                masses[row] = mass
        return masses

    @torch.inference_mode()
    def score_unsplit(
        self,
        reference: PreparedImage,
        modification_text: str,
        target: str | None,
        candidate: PreparedImage,
    ) -> float:
        """One score by the model's own forward pass over the whole prompt, without a cache, 0 to 1.

        What `score` is checked against, and how published rerankers work. In bfloat16 the two may
        differ in the third decimal: here the logits are the model's.
        """
        named = target if self._settings.shows_target else None
        prefix, asked = self._prompt.prefix(modification_text), self._prompt.candidate(named)
        ids = torch.cat([self._ids(prefix, [reference]), self._ids(asked, [candidate])], dim=1)
        inputs = {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            **self._architecture.unsplit_inputs(ids, [reference, candidate]),
        }
        device = self._loaded.device
        out = self._loaded.model(**{k: v.to(device) for k, v in inputs.items()}, logits_to_keep=1)
        logits = out.logits[0, -1]
        return float((logits[self._yes] - logits[self._no]).float().sigmoid())

    def warm_up(self, chunk_size: int) -> None:
        """Run every step once at its usual size, so that the first query is not the slow one."""
        picture = self.prepare(Image.new("RGB", (256, 256), "grey"))
        prefix = self.prefill(picture, "warm up")
        if self._prompt.compose_instruction is not None:
            self._forward(prefix, self._ids(self._prompt.compose_instruction), [])
        self.score(self.with_target(prefix, "a picture"), self.features([picture] * chunk_size))

    def self_test(self) -> None:
        """Score probes whose answers are obvious, and check that the scores tell them apart.

        Raises:
            SelfTestFailed: They do not; the sentence says how that shows.
        """
        scores, masses = [], []
        for probe in PROBES:
            prefix = self.prefill(self.prepare(probe.reference.draw()), probe.modification_text)
            prefix = self.with_target(prefix, probe.target)
            candidates = self.features([self.prepare(shape.draw()) for shape in probe.candidates])
            scores.append(self.score(prefix, candidates))
            masses += self.answer_mass(prefix, candidates)
        check_scores(scores)
        check_answer_mass(masses, self._prompt.template.yes, self._prompt.template.no)

    def _generate(self, prefix: PrefixState, ids: Tensor, most: int) -> list[int]:
        """At most `most` tokens of the answer to a piece, the likeliest each time."""
        here, hidden = self._forward(prefix, ids, [])
        answer: list[int] = []
        while len(answer) < most:
            token = int((hidden[0] @ self._head.T).argmax())
            if token == self._end:
                break
            answer.append(token)
            here, hidden = self._forward(here, torch.tensor([[token]]), [])
        return answer

    def _score_groups(
        self, prefix: PrefixState, candidates: Sequence[VisualFeatures]
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Candidates that go through the model together: their numbers, hidden states (B, D)."""
        by_shape = sorted(range(len(candidates)), key=lambda i: candidates[i].grid.tolist())
        for _, group in groupby(by_shape, key=lambda i: candidates[i].grid.tolist()):
            rows = list(group)
            pictures = [candidates[i] for i in rows]
            ids = self._ids(self._prompt.candidate(prefix.target), pictures[:1])
            yield rows, self._forward(prefix, ids.expand(len(rows), -1), pictures)[1]

    @torch.inference_mode()
    def _forward(
        self, prefix: PrefixState | None, ids: Tensor, pictures: Sequence[VisualFeatures]
    ) -> tuple[PrefixState, Tensor]:
        """Run the language model over what follows a prefix.

        Args:
            prefix: What was read before; the same for every row. It is left as it is.
            ids: int64 (B, L), rows of the same shape.
            pictures: In the order of their places, over all rows.

        Returns:
            The prefix of the first row, and the last hidden state of each row (B, D).
        """
        rows = len(ids)
        # the rows differ in pictures of one shape only, so positions are the same in all
        own = pictures[: max(1, len(pictures) // rows)]
        positions, next_position = self._architecture.positions(
            ids[:1],
            torch.cat([picture.grid for picture in own]) if own else None,
            prefix.next_position if prefix else 0,
        )
        layers = prefix.layers if prefix else ()
        cache = DynamicCache(
            [(k.expand(rows, -1, -1, -1), v.expand(rows, -1, -1, -1)) for k, v in layers] or None
        )
        hidden, extended = self._architecture.forward(ids, positions, pictures, cache)
        read = tuple((layer.keys[:1], layer.values[:1]) for layer in extended.layers)
        return PrefixState(read, next_position), hidden[:, -1]

    def _ids(self, piece: str, pictures: Sequence[VisualFeatures | PreparedImage] = ()) -> Tensor:
        """Token ids of a piece, int64 (1, L), with as many image tokens as its pictures have."""
        counts = [picture.visual_tokens for picture in pictures]
        return torch.tensor([self._architecture.tokenize(piece, counts)], dtype=torch.long)

    def _one_token(self, word: str) -> int:
        (token,) = self._architecture.tokenize(word)
        return token
