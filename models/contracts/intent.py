"""The intent of a composed query: what a modification text wants of, and beyond, the reference."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from models.contracts.filter import MAX_CONDITIONS, NumberRange

MAX_PHRASE_CHARS, MAX_PHRASES, MAX_ALTERNATIVES = 200, 16, 64

IntentSource = Literal["client", "mllm", "facets", "none"]
Phrase = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_PHRASE_CHARS)
]
Phrases = Annotated[tuple[Phrase, ...], Field(max_length=MAX_PHRASES)]


class Intent(BaseModel):
    """The roles of a composed query, as short phrases.

    *A red striped sofa in the snow* with "the same but blue" has the target "a blue striped sofa",
    preserves *striped* and *sofa*, desires *blue* and forbids *red*. The snow has no role: dropped.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: Phrase = Field(description="the target image in words", examples=["a blue sofa"])
    preserve: Phrases = Field((), description="what of the reference stays", examples=[["sofa"]])
    desired: Phrases = Field((), description="what the text asks for", examples=[["blue"]])
    forbidden: Phrases = Field((), description="what the text rules out", examples=[["red"]])
    conditions: Annotated[dict[str, NumberRange], Field(max_length=MAX_CONDITIONS)] = Field(
        {},
        description="numeric attribute → range: only images within are found, as by a filter, "
        "unless there is none",
        examples=[{"price": {"lt": 50}}],
    )


class TextSpan(BaseModel):
    """Some words of the modification text.

    Attributes:
        text: As they stand there.
        start: Offset of their first character.
        end: Offset behind their last character.
    """

    model_config = ConfigDict(frozen=True)

    text: str
    start: int = Field(ge=0)
    end: int = Field(ge=0)


class UnreadSpan(TextSpan):
    """Words of the modification text that had no effect.

    Attributes:
        nearest: Values of the gallery that are nearest to them in meaning, or else in spelling.
    """

    nearest: tuple[str, ...] = ()


LinkedBy = Literal["word", "synonym", "spelling", "colour", "meaning"]


class Provenance(BaseModel):
    """Where a phrase of an intent comes from."""

    model_config = ConfigDict(frozen=True)

    role: Literal["preserve", "desired", "forbidden"] = Field(description="whose phrase it is")
    phrase: str = Field(description="as it stands there", examples=["dotted"])
    source: Literal["known", "read", "said", "client"] = Field(
        description="`known`: from the reference's own attributes; `read`: seen in the reference "
        "image; `said`: by the text; `client`: sent with the request"
    )
    confidence: float | None = Field(
        None,
        ge=0,
        le=1,
        description="of what is `read`: its share among all values of its facet, of several values "
        "the least; of what is `said`: how surely these words name it; else null",
    )
    said: TextSpan | None = Field(None, description="the words of the text that name it")
    how: LinkedBy | None = Field(
        None,
        description="by what these words name it: its own `word`, a `synonym`, a slip of the "
        "`spelling`, a shade of a `colour`, or a near `meaning`",
    )


class ComposedIntent(Intent):
    """An intent, and where it comes from."""

    source: IntentSource = Field(
        description="`client`: sent with the request; `mllm`: composed by the worker; `facets`: "
        "read with the gallery's own attributes; `none`: the text as it stands"
    )
    reading: Literal["known", "read"] | None = Field(
        None,
        description="what the reference shows is `known` by its own attributes, or `read` from "
        "the image, where the gallery's attributes compose",
    )
    alternatives: Annotated[tuple[Phrase, ...], Field(max_length=MAX_ALTERNATIVES)] = Field(
        (),
        description="all that is allowed, in words, where the gallery's attributes compose: the "
        "target first; an image's retrieval score is its best over these",
    )
    provenance: tuple[Provenance, ...] = Field(
        (), description="where each phrase comes from, where that is known"
    )
    not_understood: tuple[UnreadSpan, ...] = Field(
        (),
        description="words of the text that had no effect, each of the first few with up to three "
        "values of the gallery that come nearest",
    )
