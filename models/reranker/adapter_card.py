"""`reranker.json`: what an adapter was trained for, and the template that follows from it.

The file lies beside the adapter's weights. Adapters of other makers have none.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from models.errors import InputError
from models.reranker.prompts import (
    CIR,
    INSTRUCT,
    QWEN3_VL_RERANKER,
    SMOLVLM,
    TEMPLATES,
    PromptTemplate,
)

CARD = "reranker.json"
_OLD_CARD = "judge.json"  # the name before 0.1.0


class AdapterMismatch(InputError):
    """An adapter is used as it was not trained to be; the sentence says in what."""


class AdapterCard(BaseModel):
    """What an adapter was trained for.

    Attributes:
        template: Name of the prompt template.
        template_version: Its version.
        base: Hub name, or name of the folder, of the base model.
        base_hash: `content_hash` of the base model; None where it is not known.
        visual_tokens: Most visual tokens per image.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    template: str
    template_version: str
    base: str
    base_hash: str | None = None
    visual_tokens: int


def read_card(adapter: Path) -> AdapterCard | None:
    """The card of an adapter's folder; None if there is none.

    Raises:
        AdapterMismatch: The file is no card.
    """
    path = next((adapter / name for name in (CARD, _OLD_CARD) if (adapter / name).is_file()), None)
    if path is None:
        return None
    try:
        return AdapterCard.model_validate_json(path.read_text("utf-8"))
    except ValidationError as error:
        raise AdapterMismatch(
            f"{path} does not say what the adapter was trained for: {error}"
        ) from error


def write_card(adapter: Path, card: AdapterCard) -> None:
    """Put a card beside an adapter's weights."""
    (adapter / CARD).write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")


def check_base(card: AdapterCard, base: str, base_hash: str) -> None:
    """Check that an adapter is put on the base it was trained on.

    Args:
        card: Of the adapter.
        base: Hub name or folder of the base.
        base_hash: Its `content_hash`.

    Raises:
        AdapterMismatch: It was trained on another one.
    """
    if card.base_hash is not None and card.base_hash != base_hash:
        raise AdapterMismatch(
            f"the adapter was trained for the base {card.base!r} with content hash "
            f"{card.base_hash}, and {base!r} has {base_hash}; set that base, or train an adapter "
            "for this one"
        )


def choose_template(
    wanted: str, card: AdapterCard | None, base: str, model_type: str
) -> PromptTemplate:
    """The template a reranker is asked with.

    Args:
        wanted: Name of a template, or `auto`: what the card says, else what suits the base.
        card: Of the adapter, if there is one.
        base: `demo`, a hub name or a folder; published rerankers are known by their names.
        model_type: Of the base's config.

    Raises:
        AdapterMismatch: The adapter was trained with another template.
    """
    if card is None:
        return TEMPLATES[wanted] if wanted != "auto" else _default_template(base, model_type)
    trained = TEMPLATES.get(card.template)
    if trained is None or trained.version != card.template_version:
        there_are = ", ".join(template.version for template in TEMPLATES.values())
        raise AdapterMismatch(
            f"the adapter was trained with template {card.template_version!r}, which this version "
            f"of the service does not have; it has {there_are}"
        )
    if wanted not in ("auto", card.template):
        raise AdapterMismatch(
            f"the adapter was trained with the template {card.template!r}, and {wanted!r} was "
            f"asked for; set the template to `auto` or {card.template!r}"
        )
    return trained


def _default_template(base: str, model_type: str) -> PromptTemplate:
    """The template for a base, with no adapter or an unknown one."""
    if base == "demo":
        return CIR
    if model_type == "qwen3_vl" and "reranker" in Path(base).name.lower():
        return QWEN3_VL_RERANKER
    return SMOLVLM if model_type in ("idefics3", "smolvlm") else INSTRUCT
