"""Errors of a gallery and of requests to it; the base of the services' own error trees."""

from models.errors import JobError


class ServiceError(Exception):
    """Base of the tree; the message is a sentence for the client.

    Attributes:
        type: A stable word that clients can switch on.
        retry_after_s: Seconds until another attempt may succeed; None: it will not.
    """

    type = "internal"
    retry_after_s: int | None = None


class InvalidRequest(ServiceError):
    """The request cannot be answered as it is."""

    type = "invalid-request"


class InvalidFilter(InvalidRequest):
    """The filter names what the gallery does not have."""

    type = "invalid-filter"


class ImageNotFound(ServiceError):
    """No gallery image has that id."""

    type = "unknown-image"


class GalleryUnavailable(ServiceError):
    """There is no gallery to search, or it was built with another encoder."""

    type = "gallery-unavailable"
    retry_after_s = 5


class GalleryNotFound(GalleryUnavailable):
    """Nothing has been built where the gallery should be."""


class GenerationGone(GalleryUnavailable):
    """The generation that was to be read has been dropped; another may have replaced it."""


class GalleryError(JobError):
    """The gallery cannot be opened for writing or completed; the message says what to do."""
