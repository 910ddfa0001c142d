"""What an adapter is trained to be asked: the template that it will be served with.

Nothing here is made up: the pieces are the judge's own, in the chat format of Qwen-VL, the family
that adapters can be trained on.
"""

from models.contracts.intent import Roles
from models.reranker.chat import QWEN_VL
from models.reranker.prompt import write_intent
from models.reranker.templates import CIR, Template

TEMPLATE = Template(CIR, QWEN_VL)


def intent(roles: Roles) -> str:
    """The answer to the template's `ask`, with its end."""
    said = write_intent(
        roles.target, list(roles.preserve), list(roles.desired), list(roles.forbidden)
    )
    return TEMPLATE.answer(said)
