"""What only the worker can answer with, besides `app.web.errors`."""

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
    """The judge is warming up, or its warm-up or its self-test failed."""

    type = "not-ready"
    retry_after_s = 5


class ShuttingDown(NotReady):
    """The worker stops; another one has to answer."""

    type = "shutting-down"


class IntentUnreadable(ServiceError):
    """What the judge composed has not the form of an intent; asking again will not help."""

    type = "unreadable-intent"


class CannotCompose(ServiceError):
    """This judge only scores; no request will change that."""

    type = "cannot-compose"


class ComposeFailed(ServiceError):
    """The judge failed to compose an intent; the log has the details."""

    type = "judge-failed"


STATUS: dict[type[ServiceError], int] = {
    IntentUnreadable: 422,
    CannotCompose: 422,
    ComposeFailed: 500,
    NotReady: 503,
}
