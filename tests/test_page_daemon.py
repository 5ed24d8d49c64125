"""The page of the real daemon, on a film."""

import json
import re
from collections.abc import Iterator

import cv2
import httpx
import numpy as np
import pytest
from jsonschema_rs import Draft202012Validator

from tests.page_feeder import client, daemon_with_page, film, until


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page of a running daemon is."""
    folder = tmp_path_factory.mktemp("daemon")
    with daemon_with_page(folder, film(folder / "film.avi", 200, 5, 320, 240)) as url:
        yield url


def test_its_status_is_what_the_description_says(url: str) -> None:
    document, state = client().get(url + "openapi.json").json(), client().get(url + "api/state").json()
    schemas = json.loads(json.dumps(document["components"]["schemas"]).replace("#/components/schemas/", "#/$defs/"))
    Draft202012Validator({**schemas["State"], "$defs": schemas}).validate(state)
    assert (state["device"], state["camera"]["state"]) == ("kitchen", "running")


def test_it_sees_a_face_tells_of_it_and_records_it(url: str) -> None:
    until(lambda: client().get(url + "api/state").json()["faces"])
    until(lambda: client().get(url + "api/events").json()["events"])
    metrics = client().get(url + "metrics").text
    assert re.search(r"^emotion_edge_published_frames_total [1-9]", metrics, re.M)


def test_its_picture_is_seen(url: str) -> None:
    with httpx.stream("GET", url + "picture", timeout=50) as answer:
        part = next(each for each in answer.iter_raw() if b"\xff\xd8" in each)
    _, _, content = part.partition(b"\xff\xd8")
    decoded = cv2.imdecode(np.frombuffer(b"\xff\xd8" + content, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None and decoded.shape == (240, 320, 3)
