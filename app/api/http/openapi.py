"""What `/docs` says about searches, whose two spellings FastAPI cannot infer."""

from typing import Any

from fastapi import FastAPI

from app.api.http.schemas import FORM_FIELDS_IN_JSON, SearchRequest
from app.web.problems import ProblemDetail

_REFERENCE = "reference_image"
_JSON_EXAMPLE = {
    "reference_image": {"image_id": "test-000000"},
    "modification_text": "the same but blue",
    "top_k": 5,
    "filter": {"category": ["sofa", "chair"], "price": {"lte": 500}},
}


def _form_field(name: str, field: dict[str, Any]) -> dict[str, Any]:
    """How a field of the JSON body is given in a form; what may be null there is left out here."""
    if name in FORM_FIELDS_IN_JSON:
        as_text = {"type": "string", "contentMediaType": "application/json"}
        return {**as_text, "description": f"as JSON: {field['description']}"}
    kinds = [kind for kind in field.get("anyOf", ()) if kind != {"type": "null"}]
    said = {k: v for k, v in field.items() if k != "anyOf" and (k, v) != ("default", None)}
    return {**(kinds[0] if kinds else {}), **said}


def _form(request: dict[str, Any]) -> dict[str, Any]:
    """The schema of the form, made of that of the JSON body."""
    options = {name: field for name, field in request["properties"].items() if name != _REFERENCE}
    return {
        "type": "object",
        "required": ["modification_text"],
        "properties": {
            _REFERENCE: {
                "type": "string",
                "format": "binary",
                "description": "the image; or reference_image_id",
            },
            "reference_image_id": {"type": "string", "description": "an image of the gallery"},
            **{name: _form_field(name, field) for name, field in options.items()},
        },
    }


_REQUEST = SearchRequest.model_json_schema(ref_template="#/components/schemas/{model}")
_DEFINITIONS: dict[str, Any] = {**_REQUEST.pop("$defs"), "SearchRequest": _REQUEST}
SEARCH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _form(_REQUEST)},
            "application/json": {
                "schema": {"$ref": "#/components/schemas/SearchRequest"},
                "example": _JSON_EXAMPLE,
            },
        },
    }
}
SEARCH_ERRORS: dict[int | str, dict[str, Any]] = {
    code: {"model": ProblemDetail, "description": description}
    for code, description in (
        (400, "The form is broken, or cut short"),
        (404, "The reference is no gallery image"),
        (408, "The body did not come in time"),
        (413, "The body is too large"),
        (422, "The request, the image or the filter cannot be used"),
        (429, "Too many searches at once; Retry-After says when to come back"),
        (503, "No gallery in service, one of another encoder, or too many large uploads at once"),
        (504, "No candidates before the deadline"),
    )
}
STREAM_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events, each with JSON data: `intent` (the composition), "
        "`coarse` (the answer without re-ranking), `progress` (how many candidates are "
        "scored, any number of times), and at the end `result` (the answer of `POST /search`) "
        "or `error` (a problem document)"
    }
}


def install(app: FastAPI) -> None:
    """Add to an app's description the bodies that FastAPI does not see, so that none is missing."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        whole = described()
        whole["components"]["schemas"].update(_DEFINITIONS)
        return whole

    app.openapi = openapi  # type: ignore[method-assign]
