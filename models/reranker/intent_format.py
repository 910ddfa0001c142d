"""Text in and out of a reranker: a user's words without special tokens, an intent as four lines.

The words around them are in `prompts`. The form of a composed intent is the same for all rerankers:

    target: a blue striped sofa
    keep: striped; sofa
    want: blue
    avoid: red
"""

import re

from models.contracts.intent import MAX_PHRASE_CHARS, MAX_PHRASES, ComposedIntent

_LINES = ("target", "keep", "want", "avoid")
_DECORATION = " \t*_-`#•.0123456789"  # instruct models number lines and put them in bold
_NOTHING = {"none", "nothing", "n/a", "-"}
# `<|im_end|>`, `<image>`, `</think>`: what one tokenizer or another takes for one special token
_SPECIAL = re.compile(r"<(?=[|/]?[A-Za-z][\w|-]*>)")


class IntentParseError(ValueError):
    """The reranker's answer does not have the lines it was asked for."""


def escape_special_tokens(text: str) -> str:
    """The text in one line, with a blank in what a tokenizer would take for a special token."""
    return _SPECIAL.sub("< ", " ".join(text.split()))


def format_intent(
    target: str, preserve: list[str], desired: list[str], forbidden: list[str]
) -> str:
    """The answer to a template's `compose_instruction`, as a reranker is trained to give it."""
    values = (target, "; ".join(preserve), "; ".join(desired), "; ".join(forbidden))
    return "\n".join(f"{line}: {value}" for line, value in zip(_LINES, values, strict=True))


def parse_intent(answer: str) -> ComposedIntent:
    """The intent in an answer to a template's `compose_instruction`.

    Lines may come in any order, numbered or emboldened; what follows them is ignored.

    Raises:
        IntentParseError: There is no target.
    """
    found: dict[str, str] = {}
    for line in answer.splitlines():
        name, colon, value = line.partition(":")
        name = name.strip(_DECORATION).lower()
        if colon and name in _LINES:
            found.setdefault(name, value.strip("* \t"))
    if not found.get("target"):
        raise IntentParseError(f"the reranker named no target; it answered {answer[:200]!r}")
    return ComposedIntent(
        target=found["target"][:MAX_PHRASE_CHARS],
        preserve=_phrases(found.get("keep", "")),
        desired=_phrases(found.get("want", "")),
        forbidden=_phrases(found.get("avoid", "")),
        source="mllm",
    )


def _phrases(value: str) -> tuple[str, ...]:
    phrases = (phrase.strip()[:MAX_PHRASE_CHARS] for phrase in value.split(";"))
    named = (phrase for phrase in phrases if phrase and phrase.lower() not in _NOTHING)
    return tuple(dict.fromkeys(named))[:MAX_PHRASES]
