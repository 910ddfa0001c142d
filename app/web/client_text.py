"""Text that clients send → values: the one place where JSON and base64 from outside are read."""

import base64
from typing import Any

from pydantic_core import from_json

from app.web.errors import InvalidReferenceImage
from indexer.gallery.errors import InvalidRequest


def parse_json(text: bytes | str, what: str) -> Any:
    """Read JSON as RFC 8259 has it: UTF-8, no NaN, whole characters only, nesting below 200.

    Numbers may still be larger than anything: bounding them is the schemas' business.

    Args:
        text: What was sent.
        what: What it is, for the sentence: "the body".

    Raises:
        InvalidRequest: It is not JSON, or nested too deeply.
    """
    try:
        data = text.encode() if isinstance(text, str) else text
        return from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidRequest(f"{what} is not JSON: {error}") from None


def parse_base64(text: str, what: str) -> bytes:
    """Read base64, alone or in a data URL.

    Args:
        text: What was sent.
        what: What it is, for the sentence.

    Raises:
        InvalidReferenceImage: It is not base64.
    """
    payload = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode(payload, validate=True)
    except ValueError as error:  # of which `binascii.Error` is only one kind
        raise InvalidReferenceImage(f"{what} is not base64: {error}") from None
