"""The announcement of the entities, held against the rules of Home Assistant's documentation, and what they show."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import config, discovery
from edge.contract import LABELS, UNCERTAIN, InputSpec, ModelCard
from edge.status import NONE, of_model

CARD = ModelCard("emotion-8", "1.2.0", LABELS, InputSpec())
SETTINGS = config.Mqtt(host="localhost")

STATUS: dict[str, Any] = {
    "v": 1,
    "device": "emo kitchen",
    "version": "0.2.0",
    "boot": "b7f3aa01",
    "uptime_seconds": 12.3,
    "source": "/dev/video0",
    "camera": {"state": "running", "reason": "", "reopens": 0},
    "model": of_model(CARD, "ab12cd34ef"),
    "label": NONE,
    "group": NONE,
    "confidence": 0.0,
    "uncertain": False,
    "valence": None,
    "arousal": None,
    "faces": [],
    "fps": 29.9,
    "camera_fps": 30.0,
    "age_ms": {"p50": 7.1, "p95": 9.0, "p99": 12.3, "max": 20.1},
    "steps_ms": {"detect": {"p50": 4.0}},
    "captured": 1234,
    "published": 1230,
    "dropped": {"stale_frame": 4, "stale_scene": 0, "unfinished": 0},
    "temperature_celsius": 52.1,
    "throttled": [],
    "rss_bytes": 90000000,
    "totals": {"labels": {"happy": 12}, "label_flips": 3, "uncertain": 2, "events": 40},
    "stage_seconds": {"detect": {"buckets": [[0.001, 3], ["+Inf", 123]], "sum": 1.2, "count": 123}},
    "store": {"path": None, "held": 0, "lost": 0, "last_seq": 42},
    "mqtt": {"connected": False, "queue_depth": 0, "dropped": 0, "reason": ""},
    "settings": {"camera": {"source": "/dev/video0"}},
}
"""A status document, of a daemon that sees nobody."""


def status(**changes: Any) -> dict[str, Any]:
    return STATUS | changes


def announced(document: dict[str, Any] | None = None, settings: config.Mqtt = SETTINGS) -> dict[str, Any]:
    """As Home Assistant reads it, with every abbreviation written out."""
    document = document or status()
    where = discovery.topics(settings, document["device"])
    made = discovery.announcement(document, where, "Raspberry Pi 5")
    found: dict[str, Any] = written_out(json.loads(json.dumps(made)), ABBREVIATIONS)
    found["device"] = written_out(found["device"], DEVICE_ABBREVIATIONS)
    found["origin"] = written_out(found["origin"], DEVICE_ABBREVIATIONS)
    return found


# The rules, from https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload and the pages of the MQTT
# sensor, binary sensor and switch. Of the abbreviations and options there, those that we could come to use.
ABBREVIATIONS = {
    "dev": "device",
    "o": "origin",
    "cmps": "components",
    "p": "platform",
    "avty_t": "availability_topic",
    "stat_t": "state_topic",
    "cmd_t": "command_topic",
    "ent_cat": "entity_category",
    "uniq_id": "unique_id",
    "dev_cla": "device_class",
    "stat_cla": "state_class",
    "val_tpl": "value_template",
    "ops": "options",
    "unit_of_meas": "unit_of_measurement",
    "def_ent_id": "default_entity_id",
    "e": "encoding",
    "pl_on": "payload_on",
    "pl_off": "payload_off",
    "stat_on": "state_on",
    "stat_off": "state_off",
}
DEVICE_ABBREVIATIONS = {
    "ids": "identifiers",
    "mf": "manufacturer",
    "mdl": "model",
    "sw": "sw_version",
    "hw": "hw_version",
    "sn": "serial_number",
    "cu": "configuration_url",
    "sa": "suggested_area",
    "url": "support_url",
}
DEVICE = {"identifiers", "manufacturer", "model", "name", "sw_version", "hw_version", "serial_number"}
ORIGIN = {"name", "sw_version", "support_url"}
SHARED = {"availability_topic", "state_topic", "command_topic", "qos", "encoding"}
ENTITY = SHARED | {"platform", "unique_id", "default_entity_id", "name", "device_class", "entity_category", "icon"}
READING = {"value_template", "expire_after", "force_update"}
OPTIONS = {
    "sensor": ENTITY | READING | {"options", "state_class", "unit_of_measurement", "suggested_display_precision"},
    "binary_sensor": ENTITY | READING | {"payload_on", "payload_off", "off_delay"},
    "switch": ENTITY | {"value_template", "payload_on", "payload_off", "state_on", "state_off", "optimistic", "retain"},
}
DEVICE_CLASSES = {"sensor": {"enum", "temperature"}, "binary_sensor": {"occupancy"}, "switch": {"switch"}}
UNITS = {"temperature": {"°C", "°F", "K"}}
STATE_CLASSES = {"measurement", "total", "total_increasing"}
CATEGORIES = {"diagnostic"}  # "config" is for what can be set
NODE_ID = re.compile(r"[a-zA-Z0-9_-]+")
ENTITY_ID = re.compile(r"(?!.+__)(?!_)[\da-z_]+(?<!_)\.(?!_)[\da-z_]+(?<!_)")


def written_out(table: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """The table, and those in it, with long names; both names of one option at once are refused."""
    long = {
        names.get(name, name): written_out(each, names) if isinstance(each, dict) else each
        for name, each in table.items()
    }
    assert len(long) == len(table)
    return long


def check(payload: dict[str, Any]) -> None:
    """AssertionError where the payload breaks a rule."""
    assert set(payload) <= {"device", "origin", "components"} | SHARED
    assert payload["device"]["identifiers"] and set(payload["device"]) <= DEVICE
    assert payload["origin"]["name"] and set(payload["origin"]) <= ORIGIN
    assert payload.get("qos", 0) in (0, 1, 2)
    assert payload["components"]
    for key, component in payload["components"].items():
        assert NODE_ID.fullmatch(key)
        check_entity({name: payload[name] for name in SHARED & set(payload)} | component)
    for name in ("unique_id", "default_entity_id"):
        found = [component[name] for component in payload["components"].values()]
        assert len(set(found)) == len(found), name


def check_entity(entity: dict[str, Any]) -> None:
    platform = entity["platform"]
    assert set(entity) <= OPTIONS[platform]
    assert entity["unique_id"] and entity["name"]
    assert ENTITY_ID.fullmatch(entity["default_entity_id"]) and entity["default_entity_id"].startswith(f"{platform}.")
    assert all(entity[name] and not set("+#\0") & set(entity[name]) for name in entity if name.endswith("_topic"))
    assert entity.get("device_class") in {None, *DEVICE_CLASSES[platform]}
    assert entity.get("entity_category") in {None, *CATEGORIES}
    assert entity["state_topic"]
    if platform == "sensor":
        check_sensor(entity)
    if platform == "switch":
        assert entity["command_topic"]


def check_sensor(entity: dict[str, Any]) -> None:
    assert entity.get("state_class") in {None, *STATE_CLASSES}
    if "options" in entity:
        assert entity["options"] and entity["device_class"] == "enum"
        assert "state_class" not in entity and "unit_of_measurement" not in entity
    if entity.get("device_class") in UNITS:
        assert entity["unit_of_measurement"] in UNITS[entity["device_class"]]


def broken(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    payload = announced()
    change(payload)
    return payload


def test_the_announcement_keeps_the_documented_rules() -> None:
    check(announced())


@pytest.mark.parametrize(
    "change",
    [
        lambda payload: payload.pop("device"),
        lambda payload: payload.pop("origin"),
        lambda payload: payload["origin"].pop("name"),
        lambda payload: payload["device"].update(identifiers=[]),
        lambda payload: payload["components"]["faces"].pop("platform"),
        lambda payload: payload["components"]["faces"].pop("unique_id"),
        lambda payload: payload["components"]["faces"].update(object_id="faces"),
        lambda payload: payload["components"]["faces"].update(unique_id=payload["components"]["fps"]["unique_id"]),
        lambda payload: payload["components"]["emotion"].update(options=[]),
        lambda payload: payload["components"]["emotion"].update(state_class="measurement"),
        lambda payload: payload["components"]["temp"].update(unit_of_measurement="degrees"),
        lambda payload: payload["components"]["pause"].pop("command_topic"),
        lambda payload: payload["components"]["pause"].update(default_entity_id="switch.a__b"),
        lambda payload: payload.update(components={}),
    ],
)
def test_the_rules_refuse_what_home_assistant_does(change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises((AssertionError, KeyError)):
        check(broken(change))


def test_the_entities_are_those_of_the_convention() -> None:
    payload = announced()
    assert payload["availability_topic"] == "emotion-edge/emo_kitchen/availability"
    assert payload["state_topic"] == "emotion-edge/emo_kitchen/state"
    assert payload["device"]["identifiers"] == ["emo_kitchen"] and payload["device"]["name"] == "emo kitchen"
    entities = payload["components"]
    assert {key: (entity["platform"], entity["unique_id"]) for key, entity in entities.items()} == {
        "emotion": ("sensor", "emo_kitchen_emotion"),
        "confidence": ("sensor", "emo_kitchen_conf"),
        "faces": ("sensor", "emo_kitchen_faces"),
        "presence": ("binary_sensor", "emo_kitchen_presence"),
        "fps": ("sensor", "emo_kitchen_fps"),
        "temp": ("sensor", "emo_kitchen_temp"),
        "pause": ("switch", "emo_kitchen_run"),
    }
    switch = entities["pause"]
    assert switch["command_topic"] == "emotion-edge/emo_kitchen/cmd"
    assert switch["state_topic"] == "emotion-edge/emo_kitchen/run"
    assert (switch["payload_on"], switch["payload_off"]) == ("resume", "pause")
    assert {
        "state_on": discovery.run_state(status()),
        "state_off": discovery.run_state(paused()),
    }.items() <= switch.items()


def paused() -> dict[str, Any]:
    return status(camera={"state": "paused", "reason": "", "reopens": 0})


def test_an_expression_is_always_one_of_the_options() -> None:
    for labels in (LABELS, LABELS[:7], ("happy", "sad")):
        model = of_model(replace(CARD, labels=labels), "ab12")
        options = announced(status(model=model))["components"]["emotion"]["options"]
        assert options == [NONE, UNCERTAIN, *labels]


def test_a_state_has_the_fields_of_the_convention_and_no_others() -> None:
    faces = [{"track": 1}, {"track": 2}]
    document = status(label="happy", group="positive", confidence=0.83, faces=faces, fps=29.9, age_ms={"p95": 9.0})
    assert discovery.state(document | {"temperature_celsius": 52.1, "throttled": ["under-voltage"]}) == {
        "label": "happy",
        "group": "positive",
        "confidence": 0.83,
        "faces": 2,
        "uncertain": False,
        "valence": None,
        "arousal": None,
        "fps": 29.9,
        "latency_p95_ms": 9.0,
        "temp_c": 52.1,
        "throttled": ["under-voltage"],
        "model": "emotion-8@1.2.0#ab12cd34",
    }


def test_what_is_told_at_once_is_no_number_that_always_moves() -> None:
    quiet = discovery.gist(status())
    moving = {"fps": 28.1, "age_ms": {"p95": 11.0}, "temperature_celsius": 50.0, "confidence": 0.31}
    assert discovery.gist(status(**moving)) == quiet
    changes: list[dict[str, Any]] = [
        {"label": "sad"},
        {"faces": [{}]},
        {"uncertain": True},
        {"throttled": ["throttled"]},
    ]
    for change in changes:
        assert discovery.gist(status(**change)) != quiet


def test_metrics_are_counts_and_times_without_faces_and_settings() -> None:
    measured = discovery.metrics(status())
    assert {"uptime_seconds", "age_ms", "steps_ms", "dropped", "rss_bytes", "mqtt", "store"} <= set(measured)
    assert not {"faces", "settings", "label", "stage_seconds"} & set(measured)


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("emo-kitchen", "emo-kitchen"),
        ("emo_kitchen 2", "emo_kitchen_2"),
        ("a/+/#", "a"),
        ("Küche", "Kuche-a9ec872e"),
        ("厨房", "device-4ae988a2"),
        ("", "device-e3b0c442"),
        ("k" * 200, "k" * discovery.ID_CHARACTERS + "-6de3c288"),
    ],
)
def test_a_device_is_called_by_its_name_made_safe(device: str, name: str) -> None:
    assert discovery.device_id(device) == name


def test_names_in_other_scripts_stay_different() -> None:
    rooms = ["厨房", "客厅", "厨房 1", "客厅 1", "Küche", "Kuche", "k" * 200, "k" * 201]
    assert len({discovery.device_id(room) for room in rooms}) == len(rooms)


@given(device=st.text(max_size=300), topic=st.from_regex(r"\A[a-z]{1,40}(/[a-z]{1,40}){0,3}\Z"))
def test_any_name_gives_a_payload_that_keeps_the_rules_and_is_small(device: str, topic: str) -> None:
    settings = config.Mqtt(host="localhost", topic=topic)
    document = status(device=device)
    check(announced(document, settings))
    where = discovery.topics(settings, device)
    assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", where.announcement)
    assert where.command.startswith(f"{topic}/")
    payload = json.dumps(discovery.announcement(document, where, "h" * 10_000)).encode()
    assert len(payload) < 6000
    payload.decode("ascii")


def test_without_a_prefix_there_is_nothing_for_home_assistant() -> None:
    where = discovery.topics(config.Mqtt(host="localhost", discovery=""), "kitchen")
    assert (where.announcement, where.birth) == ("", "")


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        (
            {"temperature_celsius": None},
            {"emotion": "none", "confidence": "0", "faces": "0", "presence": "OFF", "temp": "None"},
        ),
        (
            {"label": "happy", "confidence": 0.826, "faces": [{}, {}], "fps": 29.9, "temperature_celsius": 52.1},
            {"emotion": "happy", "confidence": "83", "faces": "2", "presence": "ON", "fps": "29.9", "temp": "52.1"},
        ),
    ],
)
def test_the_templates_show_the_state(changes: dict[str, Any], shown: dict[str, str]) -> None:
    """Rendered as Home Assistant does; it takes the word None for unknown."""
    jinja2 = pytest.importorskip("jinja2", reason="rendering Home Assistant's templates needs jinja2")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    value = json.loads(json.dumps(discovery.state(status(**changes))))
    entities = announced()["components"]
    for key, text in shown.items():
        assert environment.from_string(entities[key]["value_template"]).render(value_json=value) == text
