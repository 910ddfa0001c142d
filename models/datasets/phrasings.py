"""Modification texts for changes of attributes, in the words of any catalogue.

Three sets of phrasings without a common one: those a reranker adapter is trained with, those its
training is validated with, and those of `evaluate --benchmark attributes`, which thereby measures
how an adapter reads texts it has never seen.
"""

import random
from collections.abc import Sequence
from typing import Literal, get_args

Part = Literal["training", "validation"]  # of the queries an adapter is made with
PARTS: tuple[Part, ...] = get_args(Part)
PhrasingSet = Literal["training", "validation", "benchmark"]

# {f}: the facet's name, {o} and {n}: its old and new value
PHRASINGS: dict[PhrasingSet, dict[str, tuple[str, ...]]] = {
    "training": {
        "change": (
            "this, but {n}", "in {n}", "I want it {n}", "could I see it {n}", "{n}, not {o}",
            "one like this that is {n}", "please make this {n}", "let the {f} be {n}",
            "switch the {f} from {o} to {n}", "a {n} one", "how about {n}", "rather {n} than {o}",
            "with {n} as its {f}", "leave everything but the {f}: {n}", "{f}: {n}",
        ),
        "noun": (
            "show a {n} like this", "turn it into a {n}", "swap the {o} for a {n}",
            "I need a {n}, not a {o}", "a {n} of this kind", "a matching {n}",
            "exchange the {o} for a {n}", "could this be a {n}",
        ),
        "two": (
            "this, but {n} and {n2}", "I want it {n} and {n2}", "in {n} and {n2}",
            "let the {f} be {n} and the {f2} {n2}", "a {n2} one that is also {n}",
            "one like this, {n} and {n2}", "{f}: {n}, {f2}: {n2}",
        ),
        "not": (
            "this, but not {o}", "one that is not {o}", "no {o}, please",
            "with another {f} than {o}",
            "I do not want it {o}", "any {f} except {o}", "change the {f}, {o} is not for me",
        ),
        "caption": ("show me {n} instead", "{n}", "I am looking for {n}", "rather {n}"),
    },
    "validation": {
        "change": ("how would it look in {n}", "I'd prefer {n} as the {f}", "similar, only {n}"),
        "noun": ("I'd rather have a {n} than the {o}", "the like of it, as a {n}"),
        "two": ("similar, only {n} and {n2}", "I'd prefer it {n2} and {n}"),
        "not": ("similar, only not {o}", "it must not be {o}"),
        "caption": ("I'd prefer {n}", "find {n}"),
    },
    "benchmark": {
        "change": (
            "the same but {n}", "{n} instead of {o}", "make it {n}", "change the {f} to {n}",
            "the {f} should be {n}",
        ),
        "noun": ("a {n} instead of the {o}", "replace it with a {n}", "the same as a {n}"),
        "two": (
            "the same but {n} and {n2}", "make it {n} and {n2}",
            "change the {f} to {n} and the {f2} to {n2}",
        ),
        "not": ("the same but not {o}", "anything but {o}", "not {o}, another {f}"),
    },
}  # fmt: skip


def phrase(
    form: str,
    facets: Sequence[str],
    old: Sequence[str],
    new: Sequence[str],
    phrasings: PhrasingSet,
    rng: random.Random,
) -> str:
    """A modification text.

    Args:
        form: "change" (one facet), "noun" (the facet that names the thing), "two" (facets), "not"
            (a value is ruled out) or "caption" (a new value alone; not in the benchmark).
        facets: What changes, one or two facets; none of a caption.
        old: Their values in the reference.
        new: The values asked for; only "not" reads none.
        phrasings: Whose phrasings.
        rng: Chooses among them.
    """
    names = [facet.replace("_", " ").lower() for facet in facets] or [""]
    words = {"f": names[0], "f2": names[-1]}
    words |= {"o": old[0]} if old else {}
    words |= {"n": new[0], "n2": new[-1]} if new else {}
    return rng.choice(PHRASINGS[phrasings][form]).format(**words)
