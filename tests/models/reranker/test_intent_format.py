"""Reading what rerankers write."""

import random

import pytest

from models.reranker import intent_format


@pytest.mark.parametrize(
    ("answer", "target", "preserve"),
    [
        ("target: a blue sofa\nkeep: sofa; striped\nwant: blue\navoid: red", "a blue sofa", 2),
        ("Target:a blue sofa\n\navoid: \nnonsense", "a blue sofa", 0),
        ("Here you are:\n1. **Target:** a blue sofa\n2. **Keep:** sofa; striped", "a blue sofa", 2),
        ("- target: a blue sofa\n- keep: None\n- avoid: red", "a blue sofa", 0),
    ],
)
def test_intents_are_read(answer: str, target: str, preserve: int) -> None:
    intent = intent_format.parse_intent(answer)
    assert (intent.target, len(intent.preserve), intent.source) == (target, preserve, "mllm")


@pytest.mark.parametrize("answer", ["", "yes", "target:", "keep: sofa"])
def test_an_answer_without_target_is_no_intent(answer: str) -> None:
    with pytest.raises(intent_format.IntentParseError):
        intent_format.parse_intent(answer)


def test_what_is_written_is_read_back() -> None:
    rng = random.Random(0)
    words = ["red", "a blue sofa", "in the snow", "striped"]
    for _ in range(50):
        lists = [rng.sample(words, rng.randrange(4)) for _ in range(3)]
        intent = intent_format.parse_intent(intent_format.format_intent("a hat", *lists))
        assert [list(intent.preserve), list(intent.desired), list(intent.forbidden)] == lists


@pytest.mark.parametrize("text", ["smaller than 3 < 4", "<3", "a <- b", "100 % wool, not < 50 %"])
def test_words_that_are_no_tokens_stay_as_they_are(text: str) -> None:
    assert intent_format.escape_special_tokens(text) == text
