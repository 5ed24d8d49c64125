"""What Home Assistant is told: the topics of this device, the announcement of its entities, the state they show."""

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge import config
from edge.contract import UNCERTAIN
from edge.status import NONE

ID_CHARACTERS = 48
"""An id made from the device's name has at most so many characters; topics and entities repeat it."""

NAME_CHARACTERS = 80
"""So much of the device's name is shown."""

METRICS = (
    *("uptime_seconds", "fps", "camera_fps", "age_ms", "steps_ms", "captured", "published", "dropped"),
    *("temperature_celsius", "throttled", "rss_bytes", "totals", "store", "mqtt"),
)
"""The parts of a status document that are published as metrics."""


@dataclass(frozen=True, slots=True)
class Topics:
    """Where this device speaks and listens.

    availability  "online" or "offline"; retained
    state         what the entities show, JSON; retained
    event         each event's record, JSON
    metrics       counts and times, JSON
    command       listened to: "pause", "resume", "reload", "snapshot-metrics"
    run           "ON", or "OFF" while paused; retained
    announcement  the entities, for Home Assistant, JSON; retained; empty: none. An empty retained message there removes
                  the device from Home Assistant: `mosquitto_pub -r -n -t homeassistant/device/<device_id>/config`
    birth         listened to: Home Assistant says "online" there when it starts; empty: none
    """

    availability: str
    state: str
    event: str
    metrics: str
    command: str
    run: str
    announcement: str
    birth: str


def topics(settings: config.Mqtt, device: str) -> Topics:
    """The topics of the device with this name."""
    name = device_id(device)
    base, prefix = f"{settings.topic}/{name}", settings.discovery
    return Topics(
        availability=f"{base}/availability",
        state=f"{base}/state",
        event=f"{base}/event",
        metrics=f"{base}/metrics",
        command=f"{base}/cmd",
        run=f"{base}/run",
        announcement=f"{prefix}/device/{name}/config" if prefix else "",
        birth=f"{prefix}/status" if prefix else "",
    )


def device_id(device: str) -> str:
    """The name with nothing but ASCII letters, digits, _ and -.

    Names that lose more than spaces and marks get some digits of their hash, so that two of them stay two.
    """
    plain = unicodedata.normalize("NFKD", device).encode("ascii", "ignore").decode()
    safe = re.sub(r"[^a-zA-Z0-9_-]+", "_", plain).strip("_-")[:ID_CHARACTERS]
    if safe and device.isascii() and len(device) <= ID_CHARACTERS:
        return safe
    digits = hashlib.sha256(device.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{safe or 'device'}-{digits}"


def announcement(status: Mapping[str, Any], where: Topics, hardware: str) -> dict[str, Any]:
    """Home Assistant's discovery message of a whole device (Home Assistant 2024.11 and later).

    status    a status document: names the device, the version and the model's labels
    hardware  what the device is, for people: "Raspberry Pi 5 Model B Rev 1.0"
    """
    name = device_id(status["device"])
    return {
        "dev": {
            "ids": [name],
            "name": _shown(status["device"]) or name,
            "mf": "emotion-edge",
            "mdl": _shown(hardware),
            "sw": status["version"],
        },
        "o": {"name": "emotion-edge", "sw": status["version"]},
        "avty_t": where.availability,
        "stat_t": where.state,
        "qos": 1,
        "cmps": {
            key: {
                "unique_id": f"{name}_{suffix}",
                "default_entity_id": f"{entity['p']}.{_slug(name)}_{suffix}",
                **entity,
            }
            for key, suffix, entity in _entities(status["model"]["labels"], where)
        },
    }


def _entities(labels: list[str], where: Topics) -> list[tuple[str, str, dict[str, Any]]]:
    """Key, end of the unique id, and description of each entity."""
    sensor, measured, diagnostic = {"p": "sensor"}, {"state_class": "measurement"}, {"ent_cat": "diagnostic"}
    expression = {"name": "Expression", "device_class": "enum", "options": [NONE, UNCERTAIN, *labels]}
    confidence = {"name": "Confidence", "unit_of_measurement": "%", **measured}
    temperature = {"name": "CPU temperature", "device_class": "temperature", "unit_of_measurement": "°C"}
    presence = {"p": "binary_sensor", "name": "Face present", "device_class": "occupancy"}
    analysis = {
        "p": "switch",
        "name": "Analysis",
        "command_topic": where.command,
        "stat_t": where.run,
        "payload_on": "resume",
        "payload_off": "pause",
        "state_on": "ON",
        "state_off": "OFF",
    }
    return [
        ("emotion", "emotion", sensor | expression | _value("value_json.label")),
        ("confidence", "conf", sensor | confidence | _value("(value_json.confidence * 100) | round(0) | int")),
        ("faces", "faces", sensor | {"name": "Faces"} | measured | _value("value_json.faces")),
        ("presence", "presence", presence | _value("'ON' if value_json.faces > 0 else 'OFF'")),
        ("fps", "fps", sensor | {"name": "FPS"} | measured | diagnostic | _value("value_json.fps")),
        ("temp", "temp", sensor | temperature | measured | diagnostic | _value("value_json.temp_c")),
        ("pause", "run", analysis),
    ]


def _value(expression: str) -> dict[str, str]:
    return {"value_template": f"{{{{ {expression} }}}}"}


def _slug(name: str) -> str:
    """As it may stand in an entity's id: lower case, no - and no two _ in a row."""
    return re.sub(r"[-_]+", "_", name.lower())


def _shown(text: str) -> str:
    return "".join(each for each in text if each.isprintable())[:NAME_CHARACTERS].strip()


def state(status: Mapping[str, Any]) -> dict[str, Any]:
    """What the entities show, of a status document: of the largest face where it is about one."""
    model = status["model"]
    return {
        **{name: status[name] for name in ("label", "group", "confidence")},
        "faces": len(status["faces"]),
        **{name: status[name] for name in ("uncertain", "valence", "arousal", "fps")},
        "latency_p95_ms": status["age_ms"].get("p95"),
        "temp_c": status["temperature_celsius"],
        "throttled": status["throttled"],
        "model": f"{model['name']}@{model['version']}#{model['sha']}",
    }


def gist(status: Mapping[str, Any]) -> tuple[Any, ...]:
    """What of the state is worth telling at once; the rest, numbers that always move, can wait."""
    shown = state(status)
    return tuple(str(shown[name]) for name in ("label", "group", "faces", "uncertain", "throttled", "model"))


def run_state(status: Mapping[str, Any]) -> str:
    """ "ON", or "OFF" while paused."""
    return "OFF" if status["camera"]["state"] == "paused" else "ON"


def metrics(status: Mapping[str, Any]) -> dict[str, Any]:
    """The counts and times of a status document."""
    return {name: status[name] for name in METRICS if name in status}
