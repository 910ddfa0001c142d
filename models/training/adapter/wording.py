"""All text that an adapter is trained on, in one place: today's prompt of the judge.

The prompt that a judge is served with is the prompt it must be trained with, so nothing here is
made up: pieces come from `models.reranker.prompt`.
"""

from models.contracts.intent import Roles
from models.reranker import prompt

TEMPLATE, TEMPLATE_VERSION = "cir", prompt.VERSION
ASK, YES, NO = prompt.ASK, prompt.YES, prompt.NO


def trunk(modification_text: str) -> str:
    """Everything before intent and candidates, with the place of the reference picture."""
    return prompt.OPENING + prompt.request(modification_text)


def question(target: str | None) -> str:
    """A candidate's place and the question about it; without a target: whether it fits."""
    return prompt.candidate(target)


def intent(roles: Roles) -> str:
    """The answer to `ASK`, with its end."""
    said = prompt.write_intent(
        roles.target, list(roles.preserve), list(roles.desired), list(roles.forbidden)
    )
    return said + prompt.END_OF_TURN
