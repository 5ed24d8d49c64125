"""The shapes of what the API takes and gives, as JSON Schema."""

from typing import Any

Document = dict[str, Any]


def _object(**properties: Document) -> Document:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(of: Document, **more: Any) -> Document:
    return {"type": "array", "items": of} | more


NUMBER: Document = {"type": "number"}
COUNT: Document = {"type": "integer", "minimum": 0}
TEXT: Document = {"type": "string"}
TRUTH: Document = {"type": "boolean"}
SHARE: Document = {"type": "number", "minimum": 0, "maximum": 1}
ANY: Document = {"type": "object"}
MAYBE: Document = {"type": ["number", "null"]}

READING = {"label": TEXT, "group": TEXT, "confidence": SHARE}

FACE = _object(
    track=COUNT,
    **READING,
    uncertain=TRUTH,
    reason=TEXT,
    top=_list(_list({})),
    box=_list(SHARE, minItems=4, maxItems=4),
    face_px=NUMBER,
)

PIXELS: Document = {
    "description": "Pixels from 0 to 255 in nested lists of the model's shape: height, width, channel",
    "type": "array",
    "items": _list(_list({"type": "integer", "minimum": 0, "maximum": 255})),
}

PICTURE: Document = {
    "description": "A JPEG or PNG of one face, of any size",
    "type": "object",
    "required": ["b64"],
    "properties": {"b64": {"type": "string", "contentEncoding": "base64"}},
    "additionalProperties": False,
}

NAMED: Document = {
    "type": "object",
    "required": ["face"],
    "properties": {"face": PIXELS},
    "additionalProperties": False,
}

ROWS = _list({"anyOf": [PIXELS, PICTURE, NAMED]}, minItems=1, maxItems=64)

SIGNED: Document = {"signature_name": {"const": "serving_default"}}

SCORES = _list(SHARE)
NAMES = _list(TEXT)

SCHEMAS: Document = {
    "Any": ANY,
    "Error": _object(error=TEXT),
    "Health": _object(ok=TRUTH, reason=TEXT),
    "State": _object(
        v=COUNT,
        device=TEXT,
        version=TEXT,
        boot=TEXT,
        uptime_seconds=NUMBER,
        source=TEXT,
        camera=_object(state=TEXT, reason=TEXT, reopens=COUNT),
        model=_object(name=TEXT, version=TEXT, sha=TEXT, quant=TEXT, labels=NAMES),
        **READING,
        uncertain=TRUTH,
        valence=MAYBE,
        arousal=MAYBE,
        faces=_list(FACE),
        fps=NUMBER,
        age_ms=ANY,
        steps_ms=ANY,
        captured=COUNT,
        published=COUNT,
        dropped=ANY,
        temperature_celsius=MAYBE,
        throttled=NAMES,
        rss_bytes=COUNT,
        totals=ANY,
        stage_seconds=ANY,
        store=ANY,
        mqtt=ANY,
        governor=_object(detect_every=COUNT, rate_fps=MAYBE, idle=TRUTH, reason=TEXT),
        settings=ANY,
        age_seconds=NUMBER,
    ),
    "History": _object(
        samples=_list(
            _object(seconds_ago=NUMBER, **READING, faces=COUNT, fps=NUMBER, age_ms=_object(p50=NUMBER, p95=NUMBER))
        )
    ),
    "Events": _object(events=_list(_object(v=COUNT, seq=COUNT, type=TEXT)), next={"type": ["string", "null"]}),
    "ModelState": _object(model_version_status=_list(_object(version=TEXT, state=TEXT, status=ANY))),
    "ModelMetadata": _object(model_spec=ANY, metadata=ANY),
    "Request": {
        "oneOf": [
            {
                "type": "object",
                "required": ["instances"],
                "properties": SIGNED | {"instances": ROWS},
                "additionalProperties": False,
            },
            {
                "type": "object",
                "required": ["inputs"],
                "properties": SIGNED
                | {"inputs": {"anyOf": [ROWS, _object(face=ROWS) | {"additionalProperties": False}]}},
                "additionalProperties": False,
            },
        ]
    },
    "Answer": {
        "oneOf": [
            _object(predictions=_list(_object(scores=SCORES, classes=NAMES))),
            _object(outputs=_object(scores=_list(SCORES), classes=_list(NAMES))),
        ]
    },
}
