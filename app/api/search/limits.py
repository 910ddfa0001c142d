"""What the operator allows and what is usual: the numbers of one search follow from both. Pure."""

from dataclasses import dataclass

from app.api.search.types import SearchOptions
from indexer.gallery.errors import InvalidRequest
from models.query.weights import CompositionMode

# of a search that does not say, where the operator allows as many
_TOP_K, _RETRIEVAL_DEPTH = 10, 100


@dataclass(frozen=True)
class Depths:
    """How far one search goes.

    Attributes:
        top_k: How many results.
        retrieval: How many candidates are retrieved; at least `top_k` and `rerank`.
        rerank: How many of them are re-ranked at most.
    """

    top_k: int
    retrieval: int
    rerank: int


@dataclass(frozen=True)
class SearchLimits:
    """Bounds and defaults that the operator sets.

    Attributes:
        max_top_k: Most results of one search.
        max_retrieval_depth: Most candidates of one search.
        timeout_ms: Time of a search that names none, in milliseconds.
        max_concurrent_searches: Most searches that are answered at once.
        default_rerank_depth: Candidates re-ranked in a search that does not say.
        max_rerank_depth: Most candidates re-ranked in one search.
        rerank_weight: w in retrieval score + w · rerank score, unless a search says otherwise.
        default_composition: How a query is composed that does not say.
    """

    max_top_k: int
    max_retrieval_depth: int
    timeout_ms: int
    max_concurrent_searches: int
    default_rerank_depth: int = 50
    max_rerank_depth: int = 200
    rerank_weight: float = 1.0
    default_composition: CompositionMode = "intersection"

    @property
    def top_k(self) -> int:
        """Most results that a search may ask for: each of them is a candidate too."""
        return min(self.max_top_k, self.max_retrieval_depth)

    def depths(self, options: SearchOptions) -> Depths:
        """How far a search goes: as it asks, and otherwise as is usual within these limits.

        Raises:
            InvalidRequest: It asks for more than is allowed, or to re-rank what is not retrieved.
        """
        most = self.max_retrieval_depth
        _check_at_most("top_k", options.top_k, self.top_k)
        _check_at_most("retrieval_depth", options.retrieval_depth, most)
        _check_at_most("rerank_depth", options.rerank_depth, min(self.max_rerank_depth, most))
        top_k, retrieval, rerank = options.top_k, options.retrieval_depth, options.rerank_depth
        if top_k is None:
            top_k = min(_TOP_K, self.top_k)
        if rerank is None:
            rerank = min(self.default_rerank_depth, self.max_rerank_depth, retrieval or most)
        if retrieval is None:
            retrieval = max(rerank, min(_RETRIEVAL_DEPTH, most))
        retrieval = max(retrieval, top_k)
        if rerank > retrieval:
            raise InvalidRequest(
                f"rerank_depth is {rerank}, more than the {retrieval} candidates that "
                "retrieval_depth asks for"
            )
        return Depths(top_k, retrieval, rerank)

    def mode(self, options: SearchOptions) -> CompositionMode:
        """How a query is composed: as it says; an intent, or a source of one, needs an
        intersection.

        Raises:
            InvalidRequest: Its intent and its composition contradict each other.
        """
        has_intent = options.intent is not None
        names_source = options.intent_source is not None
        default = "intersection" if has_intent or names_source else self.default_composition
        mode = options.composition or default
        if has_intent and mode != "intersection":
            raise InvalidRequest(f"an intent goes with composition `intersection`, not `{mode}`")
        if names_source and (has_intent or mode != "intersection"):
            raise InvalidRequest(
                "intent_source says who composes an intent; it goes with composition "
                "`intersection`, and not with an intent of your own"
            )
        return mode

    def timeout_s(self, timeout_ms: int | None) -> float:
        """How long a search may take that asks for so many milliseconds, or for none, in s."""
        return (timeout_ms or self.timeout_ms) / 1000

    def weight(self, options: SearchOptions) -> float:
        """The weight of a search's rerank scores."""
        return self.rerank_weight if options.rerank_weight is None else options.rerank_weight


def _check_at_most(name: str, value: int | None, most: int) -> None:
    if value is not None and value > most:
        raise InvalidRequest(f"{name} is {value}, more than {most}")
