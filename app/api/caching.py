"""Conditional answers: what a client already has is not sent, and not made, again."""

from fastapi import Request, Response


def quoted(*parts: str) -> str:
    """An entity tag of the parts that decide an answer; they must be plain words or hashes."""
    return f'"{"-".join(parts)}"'


def not_modified(request: Request, headers: dict[str, str]) -> Response | None:
    """304 if the client's copy has the tag in `headers`; None if it needs the answer.

    Weak tags compare equal to strong ones, as RFC 9110 (13.1.2) has it for If-None-Match.
    """
    asked = request.headers.get("if-none-match", "")
    known = {tag.strip().removeprefix("W/") for tag in asked.split(",")}
    return Response(status_code=304, headers=headers) if headers["ETag"] in known else None
