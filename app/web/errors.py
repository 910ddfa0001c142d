"""What can go wrong in a search, as one tree; HTTP codes are given in `problems.py`.

ServiceError
├── InvalidRequest          the client can mend it
│   ├── InvalidReference    the reference image cannot be used
│   └── InvalidFilter       the filter does not fit the gallery's schema
├── UnknownImage            no gallery image has that id
├── Overloaded              too many searches at once; try again
├── DeadlineExceeded        no candidates before the deadline
├── GalleryUnavailable      no gallery in service, or not ours to read
│   ├── NoGallery           none has been built yet
│   ├── OtherEncoder        another encoder than ours made its embeddings
│   └── GalleryLocked       another process holds the embedded gallery
└── NotSupported            the models in service cannot do that

What goes wrong with the judge never fails a search: it makes the answer less, and each kind is a
word in `coverage.reasons`.

JudgeError
├── JudgeUnavailable        no worker can be reached, or it was lost on the way
├── JudgeOverloaded         every worker has enough to do
├── JudgeFailed             the judge failed, or what it answered makes no sense
├── JudgeDeadline           the worker ran out of time
├── JudgeUntrusted          an external judge tells nothing apart
├── JudgeComposesNothing    it gives scores, no intents
└── CandidatesFailed        some pictures could not be judged
"""

from indexer.gallery.errors import GalleryUnavailable, InvalidRequest, ServiceError


class InvalidReference(InvalidRequest):
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


class JudgeError(Exception):
    """Base of what goes wrong in the second stage; the message is for the log.

    Attributes:
        reason: The word for it in `coverage.reasons`.
    """

    reason = "worker_failed"


class JudgeUnavailable(JudgeError):
    """No worker can be reached, or the one that answered went away."""

    reason = "worker_unavailable"


class JudgeOverloaded(JudgeError):
    """Every worker that can be reached has enough to do."""

    reason = "worker_overloaded"


class JudgeFailed(JudgeError):
    """The judge failed, or its answer makes no sense; another worker would do no better."""


class JudgeDeadline(JudgeError):
    """The worker ran out of the time it was given."""

    reason = "deadline"


class CandidatesFailed(JudgeError):
    """Some pictures could not be judged; the others are."""

    reason = "candidates_failed"


class JudgeUntrusted(JudgeError):
    """An external judge failed its self-test: its scores would be noise."""

    reason = "judge_untrusted"


class JudgeComposesNothing(JudgeError):
    """This judge gives scores only; intents come from elsewhere."""
