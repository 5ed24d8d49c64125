"""The OpenAPI document of the page's API."""

from typing import Any

from edge import __version__
from edge.page.schemas import SCHEMAS

Document = dict[str, Any]

STATUSES = {
    400: "A parameter or body that cannot be used",
    401: "No token, or a wrong one",
    403: "From another site's page, or forbidden by the settings",
    404: "There is none",
    413: "Too large",
    421: "The Host header does not name this machine",
    429: "Too much at a time; Retry-After says how many seconds to wait",
    503: "Not now; the reason is told",
}

ANYWHERE = (403, 421)
"""What each address may answer."""


MJPEG = "multipart/x-mixed-replace"

STREAM = (
    "Server-sent events without end: `state`, a status without `settings` and `stage_seconds`, and `event`, a record "
    "whose number is the id; Last-Event-ID goes on from there"
)

PARAMETERS = (
    ("before", 0, 2**53 - 1, "Only events with a smaller number"),
    ("after", 0, 2**53 - 1, "Only events with a greater number, the oldest first"),
    ("limit", 1, 500, "So many at most; 100 if not given"),
)
"""Name, least, greatest, meaning."""


def document(needs_token: bool) -> Document:
    """What can be asked; whether with a token depends on the settings."""
    shared: Document = {"schemas": SCHEMAS}
    whole: Document = {
        "openapi": "3.1.0",
        "info": {
            "title": "emotion-edge",
            "version": __version__,
            "description": "Facial expressions as the camera shows them. An expression is not a feeling.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths(needs_token),
        "components": shared,
    }
    if needs_token:
        shared["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "description": "What token_file under [page] holds"}
        }
        whole["security"] = [{"token": []}]
    return whole


def paths(needs_token: bool) -> Document:
    """Each address, and what it answers."""
    known = (401, 429) if needs_token else ()
    model = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}, "example": "emotion-8"}
    health = _get("Whether the daemon does its work; for all, without a token", _ok("Health"), 503)
    health["responses"]["503"] = {"description": "It does not, and why", "content": _json("Health")}
    operations: Document = {
        "/healthz": {"get": health | {"security": []}},
        "/metrics": {"get": _get("Metrics for Prometheus", _ok(None, "text/plain"), 503, *known)},
        "/picture": {"get": _get("The picture as Motion JPEG, without end", _ok(None, MJPEG), 503, *known)},
        "/openapi.json": {"get": _get("This document", _ok("Any"), *known)},
        "/api/state": {"get": _get("The newest status", _ok("State"), 503, *known)},
        "/api/history": {"get": _get("Ten minutes, a sample a second", _ok("History"), *known)},
        "/api/events": {
            "get": _get("Events, the newest first, or those after one", _ok("Events"), 400, 404, 503, *known)
            | {"parameters": [_number(*each) for each in PARAMETERS]}
        },
        "/api/stream": {"get": _get(STREAM, _ok(None, "text/event-stream"), 404, 503, *known)},
        "/v1/models/{name}": {
            "get": _get("Whether the model can be used", _ok("ModelState"), 404, 503, *known),
            "parameters": [model],
        },
        "/v1/models/{name}/metadata": {
            "get": _get("What the model takes and gives", _ok("ModelMetadata"), 404, 503, *known),
            "parameters": [model],
        },
        "/v1/models/{name}:predict": {
            "post": _get("Read faces, as TensorFlow Serving would", _ok("Answer"), 400, 404, 413, 429, 503, *known)
            | {"requestBody": {"required": True, "content": _json("Request")}},
            "parameters": [model],
        },
    }
    return operations


def _get(what: str, answer: Document, *refusals: int) -> Document:
    refused = {str(each): {"description": STATUSES[each], "content": _json("Error")} for each in {*refusals, *ANYWHERE}}
    return {"summary": what, "responses": {"200": answer, **dict(sorted(refused.items()))}}


def _ok(schema: str | None, kind: str = "application/json") -> Document:
    content = _json(schema) if schema else {kind: {"schema": {"type": "string"}}}
    return {"description": "As asked", "content": content}


def _json(schema: str) -> Document:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _number(name: str, least: int, most: int, what: str) -> Document:
    schema = {"type": "integer", "minimum": least, "maximum": most}
    return {"name": name, "in": "query", "description": what, "schema": schema}
