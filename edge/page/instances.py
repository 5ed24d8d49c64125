"""What a client may ask of the model: requests in the shape of TensorFlow Serving's REST API, read and checked."""

import json
from typing import Any

MOST_INSTANCES = 64
"""Faces in one request."""

SIGNATURE, INPUT, VERSION = "serving_default", "face", "1"
"""As the SavedModel has them that `python -m quantize` exports, so that one client can talk to both."""


class RequestError(ValueError):
    """A request that cannot be answered; its text says what was expected."""


def instances_of(body: bytes) -> tuple[list[Any], bool]:
    """The faces in a request as they were given, and whether they came by row ("instances") or column ("inputs")."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"no valid JSON: {error}") from error
    if not isinstance(request, dict) or ("instances" in request) == ("inputs" in request):
        raise RequestError('expected an object with either "instances" or "inputs"')
    if request.get("signature_name", SIGNATURE) != SIGNATURE:
        raise RequestError(f"signature_name: there is only {SIGNATURE!r}")
    by_row = "instances" in request
    given = request["instances"] if by_row else named(request["inputs"])
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_INSTANCES:
        raise RequestError(f"expected a list of 1 to {MOST_INSTANCES} faces")
    return given, by_row


def named(given: Any) -> Any:
    """What is given for the input, with or without its name."""
    return given[INPUT] if isinstance(given, dict) and list(given) == [INPUT] else given
