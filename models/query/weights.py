"""How much each role of a composed query counts."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

CompositionMode = Literal["intersection", "union", "text", "image"]
Weight = Annotated[float, Field(ge=0, le=100)]


_NOTHING_TO_SEARCH_BY = (
    "with target, desired, preserve and text all at 0 there is nothing to search by"
)


class _Roles(BaseModel):
    """A weight for each role of an intent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: Weight = Field(0.8, description="weight of the target in words")
    desired: Weight = Field(0.0, description="weight of what the text asks for")
    preserve: Weight = Field(
        0.4, description="weight of what stays: half in words, half the reference itself"
    )
    text: Weight = Field(0.35, description="weight of the modification text as it stands")
    forbidden: Weight = Field(0.0, description="weight of what the text rules out, subtracted")


class RoleWeights(_Roles):
    """How much each role counts where a text is understood; the target alone, if nothing is set."""

    target: Weight = Field(1.0, description="weight of each alternative of the target in words")
    preserve: Weight = Field(
        0.0, description="weight of what stays: half in words, half the reference itself"
    )
    text: Weight = Field(0.0, description="weight of the modification text as it stands")

    @model_validator(mode="after")
    def _something_to_search_by(self) -> "RoleWeights":
        if not self.target + self.desired + self.preserve + self.text > 0:
            raise ValueError(_NOTHING_TO_SEARCH_BY)
        return self


class UnderstoodWeights(BaseModel):
    """How much each role counts where the gallery's attributes say what a text means; tuned per
    preset on validation queries only, like all weights.

    Attributes:
        known: Where the reference's own attributes are known.
        read: Where they are read from its picture.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    known: RoleWeights = RoleWeights()
    read: RoleWeights = RoleWeights()


class PartialWeights(_Roles):
    """Some of the weights: those that are set. They mean something beside the others only."""

    union_reference: float = Field(
        0.5, ge=0, le=1, description="share of the reference in the mode `union`"
    )


class CompositionWeights(PartialWeights):
    """How much each role counts where a text is not understood by attributes, or was composed
    otherwise; tuned per preset on validation queries only.
    """

    @model_validator(mode="after")
    def _something_to_search_by(self) -> "CompositionWeights":
        if not self.target + self.desired + self.preserve + self.text > 0:
            raise ValueError(_NOTHING_TO_SEARCH_BY)
        return self

    def changed_by(self, changes: PartialWeights | None) -> "CompositionWeights":
        """These weights, but for those that are set otherwise.

        Raises:
            ValueError: There is nothing left to search by.
        """
        if changes is None:
            return self
        both = self.model_dump() | changes.model_dump(exclude_unset=True)
        try:
            return CompositionWeights.model_validate(both)
        except ValidationError:  # each of them is a weight; together they are none
            raise ValueError(_NOTHING_TO_SEARCH_BY) from None
