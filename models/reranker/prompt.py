"""The prompt, in pieces: everything before the candidate comes first and is shared.

    opening · reference picture · request          shared by all that follows
        ├── ask                                    → the intent, generated
        └── candidate picture · question           → yes or no, one forward pass

The question names the composed target where there is one. Pieces are tokenised one by one, so that
a prompt put together from cached pieces is, token for token, the prompt put together at once.
Wording and order are part of what the judge was trained on: any change is a new `VERSION`.
"""

import re

from models.contracts.intent import MAX_PHRASE_CHARS, MAX_PHRASES, ComposedIntent

VERSION = "cir-1"
YES, NO = "yes", "no"
END_OF_TURN = "<|im_end|>"
PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"

OPENING = (
    "<|im_start|>system\nJudge whether a candidate picture is what the request asks for. "
    f"Answer yes or no.<|im_end|>\n<|im_start|>user\nReference: {PICTURE}"
)
ASK = (
    "\nSay in four lines: the target; what to keep; what to want; what to avoid."
    "<|im_end|>\n<|im_start|>assistant\n"
)

CANDIDATE = f"\nCandidate: {PICTURE}"

_LINES = ("target", "keep", "want", "avoid")
_SPECIAL = re.compile(r"<\|(?=[a-z_]+\|>)")


class UnreadableIntent(ValueError):
    """The judge's answer has not the four lines it was asked for."""


def request(modification_text: str) -> str:
    """The piece with the user's words; nothing in them can end it or open another."""
    return f"\nRequest: {_harmless(modification_text)}"


def candidate(target: str | None) -> str:
    """The piece with the candidate picture and the question, about the target where it is known."""
    question = "Does it fit" if target is None else f"Is it {_harmless(target)}"
    return f"{CANDIDATE}\n{question}?<|im_end|>\n<|im_start|>assistant\n"


def write_intent(target: str, preserve: list[str], desired: list[str], forbidden: list[str]) -> str:
    """The answer to `ASK`, as a judge is trained to give it."""
    values = (target, "; ".join(preserve), "; ".join(desired), "; ".join(forbidden))
    return "\n".join(f"{line}: {value}" for line, value in zip(_LINES, values, strict=True))


def read_intent(answer: str) -> ComposedIntent:
    """The intent in an answer to `ASK`.

    Lines may come in any order; what follows them is ignored.

    Raises:
        UnreadableIntent: There is no target.
    """
    found: dict[str, str] = {}
    for line in answer.splitlines():
        name, colon, value = line.partition(":")
        if colon and name.strip().lower() in _LINES:
            found.setdefault(name.strip().lower(), value.strip())
    if not found.get("target"):
        raise UnreadableIntent(f"the judge named no target; it answered {answer[:200]!r}")
    return ComposedIntent(
        target=found["target"][:MAX_PHRASE_CHARS],
        preserve=_phrases(found.get("keep", "")),
        desired=_phrases(found.get("want", "")),
        forbidden=_phrases(found.get("avoid", "")),
        source="mllm",
    )


def _phrases(value: str) -> tuple[str, ...]:
    phrases = (phrase.strip()[:MAX_PHRASE_CHARS] for phrase in value.split(";"))
    return tuple(dict.fromkeys(phrase for phrase in phrases if phrase))[:MAX_PHRASES]


def _harmless(text: str) -> str:
    """The text in one line, with special tokens spelled so that no tokenizer takes them for one."""
    return _SPECIAL.sub("< |", " ".join(text.split()))
