"""How much each role of a composed query counts."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

CompositionMode = Literal["intersection", "union", "text", "image"]
Weight = Annotated[float, Field(ge=0, le=100)]


_NOTHING_TO_SEARCH_BY = (
    "with target, desired, preserve and text all at 0 there is nothing to search by"
)


class PartialWeights(BaseModel):
    """Some of the weights: those that are set. They mean something beside the others only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: Weight = Field(0.8, description="weight of the target in words")
    desired: Weight = Field(0.0, description="weight of what the text asks for")
    preserve: Weight = Field(
        0.4, description="weight of what stays: half in words, half the reference itself"
    )
    text: Weight = Field(0.35, description="weight of the modification text as it stands")
    forbidden: Weight = Field(0.0, description="weight of what the text rules out, subtracted")
    union_reference: float = Field(
        0.5, ge=0, le=1, description="share of the reference in the mode `union`"
    )


class CompositionWeights(PartialWeights):
    """How much each role counts; tuned per preset on validation queries only."""

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
