"""What can go wrong in a search, as one tree; HTTP codes are given in `problems.py`.

ServiceError
├── InvalidRequest          the client can mend it
│   ├── InvalidReferenceImage    the reference image cannot be used
│   └── InvalidFilter       the filter does not fit the gallery's schema
├── ImageNotFound            no gallery image has that id
├── Overloaded              too many searches at once; try again
├── DeadlineExceeded        no candidates before the deadline
├── GalleryUnavailable      no gallery in service, or not ours to read
│   ├── GalleryNotFound           none has been built yet
│   └── OtherEncoder        another encoder than ours made its embeddings
└── NotSupported            the models in service cannot do that

What goes wrong with the reranker never fails a search: it makes the answer less, and each kind is a
word in `coverage.reasons`.

RerankerError
├── RerankerUnavailable        no worker can be reached, or it was lost on the way
├── RerankerOverloaded         every worker has enough to do
├── RerankerFailed             the reranker failed, or what it answered makes no sense
├── RerankTimeout           the worker ran out of time
├── RerankerUntrusted          an external reranker tells nothing apart
├── ComposeUnsupported    it gives scores, no intents
└── CandidatesFailed        some pictures could not be scored
"""

from indexer.gallery.errors import GalleryUnavailable, InvalidRequest, ServiceError


class InvalidReferenceImage(InvalidRequest):
    """The reference image cannot be used."""

    type = "invalid-reference-image"


class Overloaded(ServiceError):
    """More searches at once than the service is set up for."""

    type = "overloaded"
    retry_after_s = 1


class DeadlineExceeded(ServiceError):
    """The deadline passed before there were any candidates."""

    type = "deadline-exceeded"


class OtherEncoder(GalleryUnavailable):
    """A query embedded by our encoder would find confident nonsense in it."""


class NotSupported(ServiceError):
    """The models in service cannot do what was asked, and never will."""

    type = "not-supported"


class RerankerError(Exception):
    """Base of what goes wrong in re-ranking; the message is for the log.

    Attributes:
        reason: The word for it in `coverage.reasons`.
    """

    reason = "reranker_failed"


class RerankerUnavailable(RerankerError):
    """No worker can be reached, or the one that answered went away."""

    reason = "reranker_unavailable"


class RerankerOverloaded(RerankerError):
    """Every worker that can be reached has enough to do."""

    reason = "reranker_overloaded"


class RerankerFailed(RerankerError):
    """The reranker failed, or its answer makes no sense; another worker would do no better."""


class RerankTimeout(RerankerError):
    """The worker ran out of the time it was given."""

    reason = "deadline"


class CandidatesFailed(RerankerError):
    """Some pictures could not be scored; the others are."""

    reason = "candidates_failed"


class RerankerUntrusted(RerankerError):
    """An external reranker failed its self-test: its scores would be noise."""

    reason = "reranker_untrusted"


class ComposeUnsupported(RerankerError):
    """This reranker gives scores only; intents come from elsewhere."""


def most_telling(one: RerankerError | None, other: RerankerError) -> RerankerError:
    """Which failure to report of a rerank that failed in several parts; of equals, the first.

    One of a reranker that answers says more than one that is gone, and both say more than single
    candidates that failed.
    """
    return one if one is not None and _tells(one) >= _tells(other) else other


def _tells(error: RerankerError) -> int:
    if isinstance(error, CandidatesFailed):
        return 0
    return 1 if isinstance(error, RerankerUnavailable) else 2
