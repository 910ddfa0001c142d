"""What `/docs` says about searches, whose two spellings FastAPI cannot infer."""

from typing import Any

from app.api.schemas import SearchRequest
from app.problems import ProblemDetail

_JSON_EXAMPLE = {
    "reference_image": {"image_id": "test-000000"},
    "modification_text": "the same but blue",
    "top_k": 5,
    "filter": {"category": ["sofa", "chair"], "price": {"lte": 500}},
}
_FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["modification_text"],
    "properties": {
        "reference_image": {
            "type": "string", "format": "binary", "description": "the image; or reference_image_id",
        },
        "reference_image_id": {"type": "string", "description": "an image of the gallery"},
        "modification_text": {"type": "string", "example": "the same but blue"},
        "top_k": {"type": "integer"},
        "composition": {
            "type": "string", "enum": ["intersection", "union", "text", "image"],
            "default": "intersection",
        },
        "retrieval_depth": {"type": "integer"},
        "rerank_depth": {"type": "integer"},
        "timeout_ms": {"type": "integer"},
        "filter": {"type": "string", "description": "as in JSON", "example": '{"colour": "blue"}'},
        "exclude_reference": {"type": "boolean", "default": True},
        "intent": {"type": "string", "description": "as in JSON"},
    },
}  # fmt: skip
SEARCH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _FORM_SCHEMA},
            "application/json": {
                "schema": SearchRequest.model_json_schema(
                    ref_template="#/components/schemas/SearchRequest/$defs/{model}"
                ),
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
        "`coarse` (the answer without the second stage), `progress` (how many candidates are "
        "judged, any number of times), and at the end `result` (the answer of `POST /search`) "
        "or `error` (a problem document)"
    }
}
