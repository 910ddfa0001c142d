"""The worker's own errors, besides those of `app.web.errors`."""

from app.web.errors import Overloaded
from indexer.gallery.errors import ServiceError


class QueueFull(Overloaded):
    """More visual tokens are queued than the worker is set up for.

    `retry_after_s` says when there should be room, by what the device has lately got done.
    """

    def __init__(self, queued_visual_tokens: int, retry_after_s: int) -> None:
        super().__init__(
            f"the worker is full: {queued_visual_tokens:,} visual tokens are queued; "
            f"try again in {retry_after_s} s"
        )
        self.retry_after_s = retry_after_s


class NotReady(ServiceError):
    """The reranker is warming up, or its warm-up or its self-test failed."""

    type = "not-ready"
    retry_after_s = 5


class ShuttingDown(NotReady):
    """The worker stops; ask another one."""

    type = "shutting-down"


class IntentParseError(ServiceError):
    """What the reranker composed has not the form of an intent; asking again will not help."""

    type = "unreadable-intent"


class ComposeUnsupported(ServiceError):
    """This reranker only scores; no request will change that."""

    type = "cannot-compose"


class ComposeFailed(ServiceError):
    """The reranker failed to compose an intent; the log has the details."""

    type = "reranker-failed"


STATUS: dict[type[ServiceError], int] = {
    IntentParseError: 422,
    ComposeUnsupported: 422,
    ComposeFailed: 500,
    NotReady: 503,
}
