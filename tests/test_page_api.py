"""The page's API: events from a real store, metrics, predictions as of TensorFlow Serving, and its own description."""

import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families

from edge import config
from edge.classifier import SHIPPED, Classifier
from edge.contract import crop
from edge.events import EmotionEvent
from edge.page.host import Page
from edge.page.metrics import exposition
from edge.page.site import MOST_EVENTS
from edge.record import Recorder
from edge.sources.demo import ASSETS
from edge.store import Store
from tests.page_feeder import Feeder, ask, fed, page_at, status, until
from tests.test_page_guard import ROUTES

EVENT = EmotionEvent(
    type="change",
    track=7,
    label="happy",
    confidence=0.83,
    reason="",
    top=(("happy", 0.83),),
    box=(0.31, 0.22, 0.18, 0.24),
    face_px=96,
    dwell_ms=1200,
    latency_ms={"capture": 8.0},
    captured_at=12.3,
    frame=370,
)

NAMES = {
    *("camera_fps", "process_fps", "skipped_frames_total", "stage_latency_seconds_bucket", "frame_age_seconds"),
    *("faces", "label_total", "label_flips_total", "uncertain_total", "mqtt_connected", "mqtt_queue_depth"),
    *("mqtt_dropped_total", "camera_reopens_total", "restarts_total", "temperature_celsius", "throttled"),
    *("rss_bytes", "model_info"),
}
"""What the project has agreed to tell Prometheus, after `emotion_edge_`."""


@pytest.fixture(scope="module")
def feeder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Feeder]:
    with page_at(tmp_path_factory.mktemp("page")) as page, fed(page) as feeder:
        yield feeder


@pytest.fixture
def page(feeder: Feeder) -> Page:
    return feeder.page


# ---- events


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Feeder, Recorder, Store]]:
    """A page beside a store that holds 25 events."""
    folder = tmp_path_factory.mktemp("stored")
    with closing(Store(config.Store(path=folder / "events.db"))) as store:
        recorder = Recorder("emo-kitchen", "model", [store])
        for _ in range(25):
            recorder.write(EVENT)
        until(lambda: store.committed_seq == 25)
        with page_at(folder, store=store.path) as page, fed(page) as feeder:
            yield feeder, recorder, store


def numbers(page: Page, path: str) -> tuple[list[int], str | None]:
    told = ask(page, path).json()
    return [event["seq"] for event in told["events"]], told["next"]


def test_events_come_newest_first_page_by_page(stored: tuple[Feeder, Recorder, Store]) -> None:
    page, found = stored[0].page, []
    link: str | None = "/api/events?limit=10&before=26"
    while link:
        some, link = numbers(page, link)
        found.append(some)
    assert [len(each) for each in found] == [10, 10, 5]
    assert list(chain.from_iterable(found)) == list(range(25, 0, -1))


def test_events_after_one_come_oldest_first_up_to_another(stored: tuple[Feeder, Recorder, Store]) -> None:
    page, found = stored[0].page, []
    link: str | None = "/api/events?after=3&before=20&limit=7"
    while link:
        some, link = numbers(page, link)
        found += some
    assert found == list(range(4, 20))


def test_an_event_is_the_whole_record(stored: tuple[Feeder, Recorder, Store]) -> None:
    (event,) = ask(stored[0].page, "/api/events?limit=1&before=2").json()["events"]
    assert (event["seq"], event["label"], event["device"], event["box"]) == (
        1,
        "happy",
        "emo-kitchen",
        [0.31, 0.22, 0.18, 0.24],
    )


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", f"limit={MOST_EVENTS + 1}", "limit=", "limit=ten", "limit=٣", "before=-1", "after=1e3"),
        *("after=1&after=2", "before=99999999999999999999"),
    ],
)
def test_a_number_that_is_none_is_refused_by_name(stored: tuple[Feeder, Recorder, Store], query: str) -> None:
    answer = ask(stored[0].page, f"/api/events?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"{query.partition('=')[0]}: expected a whole number from ")


def test_the_stream_tells_new_events_and_goes_on_where_a_client_left(stored: tuple[Feeder, Recorder, Store]) -> None:
    feeder, recorder, store = stored
    before = store.last_seq
    with httpx.stream("GET", feeder.page.url + "api/stream", timeout=50) as answer:
        lines = answer.iter_lines()
        next(line for line in lines if line == "event: state")
        recorder.write(EVENT)
        recorder.write(EVENT)
        feeder.changed = {"store": {"path": str(store.path), "held": 0, "lost": 0, "last_seq": store.last_seq}}
        assert ids(lines, 2) == [before + 1, before + 2]
    with httpx.stream("GET", feeder.page.url + "api/stream", headers={"Last-Event-ID": "20"}, timeout=50) as answer:
        assert ids(answer.iter_lines(), before + 2 - 20) == list(range(21, before + 3))


def ids(lines: Iterator[str], count: int) -> list[int]:
    """Those of so many events of the stream."""
    found: list[int] = []
    for line in lines:
        if line.startswith("id: "):
            found.append(int(line.removeprefix("id: ")))
        if len(found) == count:
            break
    return found


def test_without_a_store_a_sentence_says_what_to_set(page: Page) -> None:
    answer = ask(page, "/api/events")
    assert answer.status_code == 404 and "[store]" in answer.json()["error"]


def test_a_store_that_cannot_be_read_is_told_and_read_again_later(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with page_at(tmp_path, store=path) as page, fed(page):
        answer = ask(page, "/api/events")
        assert answer.status_code == 503 and "events.db" in answer.json()["error"]
        with closing(Store(config.Store(path=path))) as store:
            Recorder("device", "model", [store]).write(EVENT)
            until(lambda: store.committed_seq == 1)
            assert numbers(page, "/api/events") == ([1], None)


# ---- metrics


def families(text: str) -> dict[str, Any]:
    return {sample.name: sample for each in text_string_to_metric_families(text) for sample in each.samples}


def test_metrics_are_those_that_were_agreed_on(page: Page) -> None:
    answer = ask(page, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = families(answer.text)
    assert {f"emotion_edge_{name}" for name in NAMES} <= set(found)
    assert all(name.startswith("emotion_edge_") for name in found)


def test_metrics_say_what_the_status_says() -> None:
    text = exposition(status(), restarts=3).decode()
    for line in (
        "emotion_edge_camera_fps 30.0",
        "emotion_edge_process_fps 29.9",
        'emotion_edge_skipped_frames_total{reason="stale_frame"} 4.0',
        'emotion_edge_stage_latency_seconds_bucket{le="0.002",stage="detect"} 40.0',
        'emotion_edge_stage_latency_seconds_bucket{le="+Inf",stage="detect"} 123.0',
        'emotion_edge_stage_latency_seconds_sum{stage="detect"} 1.2',
        'emotion_edge_stage_latency_seconds_count{stage="detect"} 123.0',
        'emotion_edge_frame_age_seconds{quantile="0.95"} 0.009',
        'emotion_edge_label_total{label="happy"} 12.0',
        'emotion_edge_restarts_total{process="page"} 3.0',
        'emotion_edge_throttled{bit="under-voltage"} 0.0',
        'emotion_edge_throttled{bit="under-voltage-occurred"} 1.0',
        "emotion_edge_mqtt_connected 0.0",
        "emotion_edge_temperature_celsius 52.1",
        "emotion_edge_detect_every 2.0",
        "emotion_edge_idle 0.0",
    ):
        assert line in text.splitlines(), line
    assert "temperature_celsius" not in exposition(status(temperature_celsius=None), 0).decode()


def test_metrics_tell_nothing_of_a_face() -> None:
    """Two statuses that differ in their faces only, as many of them."""
    faces = status()["faces"]
    other = [{**faces[0], "track": 99, "label": "sad", "confidence": 0.1, "box": [0, 0, 1, 1]}]
    assert exposition(status(faces=faces), 0) == exposition(status(faces=other, label="sad", confidence=0.1), 0)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (apt install prometheus)")
def test_prometheus_own_tool_finds_no_fault(page: Page) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=ask(page, "/metrics").text, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


# ---- predictions


@pytest.fixture(scope="module")
def faces() -> NDArray[np.uint8]:
    """(2, side, side, channels): the two portraits that ship."""
    spec = Classifier.read(SHIPPED).card.input
    read = [cv2.imread(str(path)) for path in sorted(ASSETS.glob("*.jpg"))]
    return np.stack([crop(cv2.cvtColor(each, cv2.COLOR_BGR2RGB), spec) for each in read])


def expected(faces: NDArray[np.uint8]) -> list[list[float]]:
    """The device's own scores."""
    classifier = Classifier.read(SHIPPED)
    return [[float(each) for each in classifier.probabilities(classifier.logits(face))] for face in faces]


class ServingClient:
    """Asks as the guides of TensorFlow Serving's REST API do it; knows nothing of this project."""

    def __init__(self, host: str, model: str) -> None:
        self._url = f"{host}/v1/models/{model}"

    def available(self) -> bool:
        status = httpx.get(self._url).json()["model_version_status"][0]
        return bool(status["state"] == "AVAILABLE" and int(status["version"]) > 0)

    def signature(self) -> dict[str, Any]:
        answer = httpx.get(f"{self._url}/metadata").json()
        return dict(answer["metadata"]["signature_def"]["signature_def"]["serving_default"])

    def predict(self, **request: Any) -> Any:
        data = json.dumps({"signature_name": "serving_default", **request})
        answer = httpx.post(
            f"{self._url}:predict", content=data, headers={"content-type": "application/json"}, timeout=50
        )
        answer.raise_for_status()
        return answer.json()


def test_a_client_of_tensorflow_serving_gets_predictions(page: Page, faces: NDArray[np.uint8]) -> None:
    client = ServingClient(page.url.rstrip("/"), "emotion-8")
    assert client.available()
    shape = [int(each["size"]) for each in client.signature()["inputs"]["face"]["tensor_shape"]["dim"]]
    assert shape == [-1, *faces.shape[1:]]
    labels = list(Classifier.read(SHIPPED).card.labels)
    predictions = client.predict(instances=faces.tolist())["predictions"]
    assert [each["classes"] for each in predictions] == [labels] * 2
    np.testing.assert_allclose([each["scores"] for each in predictions], expected(faces), atol=1e-6)
    assert client.predict(instances=[{"face": face} for face in faces.tolist()])["predictions"] == predictions
    assert client.predict(instances=faces.astype(float).tolist())["predictions"] == predictions
    outputs = client.predict(inputs={"face": faces.tolist()})["outputs"]
    assert outputs == client.predict(inputs=faces.tolist())["outputs"]
    assert outputs["scores"] == [each["scores"] for each in predictions] and outputs["classes"] == [labels] * 2


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_picture_of_a_face_may_be_sent_as_a_file(page: Page, suffix: str) -> None:
    path = sorted(ASSETS.glob("*.jpg"))[0]
    content = cv2.imencode(suffix, cv2.imread(str(path)))[1].tobytes() if suffix == ".png" else path.read_bytes()
    client = ServingClient(page.url.rstrip("/"), "emotion-8")
    (prediction,) = client.predict(instances=[{"b64": base64.b64encode(content).decode()}])["predictions"]
    picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    face = crop(picture, Classifier.read(SHIPPED).card.input)
    np.testing.assert_allclose(prediction["scores"], expected(face[np.newaxis])[0], atol=1e-6)


def bomb() -> str:
    """A PNG of 9 million pixels, all black, in 9 kB."""
    return base64.b64encode(cv2.imencode(".png", np.zeros((3000, 3000), np.uint8))[1].tobytes()).decode()


FACE = np.zeros((48, 48, 1), int).tolist()


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ("not JSON", "no valid JSON"),
        ("[" * 100_000, "no valid JSON"),
        ("[]", 'either "instances" or "inputs"'),
        ({"instances": [FACE], "inputs": [FACE]}, 'either "instances" or "inputs"'),
        ({"instances": [FACE], "signature_name": "other"}, "there is only 'serving_default'"),
        ({"instances": FACE[0][0]}, r"face 0: expected numbers in lists of shape \(48, 48, 1\), found shape"),
        ({"instances": []}, "1 to 64 faces"),
        ({"instances": [FACE] * 65}, "1 to 64 faces"),
        ({"instances": [FACE, FACE[1:]]}, r"face 1: expected numbers in lists of shape \(48, 48, 1\)"),
        ({"instances": [[[[0]], [[0], [1]]]]}, r"face 0: expected lists of shape"),
        ({"instances": [[[["a"]] * 48] * 48]}, "face 0: expected numbers"),
        ({"instances": [[[[True]] * 48] * 48]}, "face 0: expected numbers"),
        ({"instances": [[[[256]] * 48] * 48]}, "whole numbers from 0 to 255"),
        ({"instances": [[[[10**30]] * 48] * 48]}, "face 0: expected"),
        ({"instances": [[[[0.5]] * 48] * 48]}, "whole numbers from 0 to 255: the model scales them itself"),
        ('{"instances": [[[[NaN]]]]}', "face 0: expected"),
        ({"instances": [{"b64": "!"}]}, "face 0: b64: expected text in base 64"),
        ({"instances": [{"b64": 7}]}, "face 0: b64: expected text in base 64"),
        ({"instances": [{"b64": base64.b64encode(b"GIF89a").decode()}]}, "face 0: b64: expected a JPEG or PNG"),
        (
            {"instances": [{"b64": base64.b64encode(b"\xff\xd8\xff junk").decode()}]},
            "face 0: b64: expected an undamaged",
        ),
        ({"instances": [{"b64": "", "more": 1}]}, "face 0: expected"),
    ],
)
def test_a_request_that_cannot_be_answered_is_400_with_the_reason(page: Page, request_: Any, why: str) -> None:
    content = request_ if isinstance(request_, str) else json.dumps(request_)
    answer = ask(page, "/v1/models/emotion-8:predict", "POST", content=content)
    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == ["error"]
    assert re.search(why, answer.json()["error"]), answer.text


def test_a_small_file_that_claims_to_be_a_huge_picture_is_refused(page: Page) -> None:
    answer = ask(page, "/v1/models/emotion-8:predict", "POST", json={"instances": [{"b64": bomb()}]})
    assert answer.status_code == 400 and "at most 4194304 pixels" in answer.json()["error"]


def test_a_model_of_another_name_is_404(page: Page) -> None:
    for path, method in (("", "GET"), ("/metadata", "GET"), (":predict", "POST")):
        answer = ask(
            page, f"/v1/models/resnet{path}", method, json={"instances": [FACE]} if path == ":predict" else None
        )
        assert answer.status_code == 404 and "expected emotion-8" in answer.json()["error"]


def test_a_model_that_the_daemon_changed_to_is_used_from_then_on(tmp_path: Path, faces: NDArray[np.uint8]) -> None:
    other = Classifier.read(SHIPPED.with_name("emotion-7.tflite"))
    with page_at(tmp_path) as page, fed(page) as feeder:
        assert (
            len(
                ServingClient(page.url.rstrip("/"), "emotion-8").predict(instances=faces.tolist())["predictions"][0][
                    "scores"
                ]
            )
            == 8
        )
        page.model = SHIPPED.with_name("emotion-7.tflite")
        told = {"name": other.card.name, "version": "1", "sha": other.sha256[:8], "quant": "", "labels": []}
        feeder.changed = {"model": told}
        until(lambda: ask(page, f"/v1/models/{other.card.name}").status_code == 200)
        client = ServingClient(page.url.rstrip("/"), other.card.name)
        assert client.predict(instances=faces.tolist())["predictions"][0]["classes"] == list(other.card.labels)
        page.model = tmp_path / "gone.tflite"
        feeder.changed = {"model": told | {"sha": "00000000"}}
        until(lambda: ask(page, f"/v1/models/{other.card.name}").status_code == 503)


def test_too_many_predictions_are_429_with_how_long_to_wait(tmp_path: Path) -> None:
    with page_at(tmp_path) as page, fed(page):
        request = json.dumps({"instances": [0] * 64})  # no faces, but asked for: quick to refuse
        answers = [ask(page, "/v1/models/emotion-8:predict", "POST", content=request) for _ in range(30)]
        refused = [each for each in answers if each.status_code == 429]
        assert refused and {each.status_code for each in answers} == {400, 429}
        assert all(int(each.headers["retry-after"]) >= 1 for each in refused)


# ---- the description


DOCUMENTED_ELSEWHERE = {"/", "/page.js", "/charts.js", "/page.css", "/icon.svg", "/login", "/logout"}
"""The page itself is no API."""


def test_the_description_has_every_address_of_the_api(page: Page) -> None:
    described = {path.replace("{name}", "emotion-8") for path in ask(page, "/openapi.json").json()["paths"]}
    assert described == {path for _, path in ROUTES} - DOCUMENTED_ELSEWHERE


def schemathesis(page: Page, folder: Path, examples: int) -> None:
    """The API does what its description says, for requests made up from it; streams aside, which never end."""
    (folder / "schemathesis.toml").write_text(CHECKS)
    program = Path(sys.executable).with_name("schemathesis")
    command = [str(program), "run", page.url + "openapi.json", "--exclude-path-regex", "/(picture|api/stream)$"]
    bounds = ["--max-examples", str(examples), "--seed", "1", "--no-color", "--request-timeout", "30"]
    done = subprocess.run([*command, *bounds], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tested: 8" in done.stdout


CHECKS = """
[[operations]]
include-name = "POST /v1/models/{name}:predict"
# A schema cannot say which size of picture a model takes, nor what a JPEG is.
checks.positive_data_acceptance.enabled = false
"""


def test_the_api_does_what_its_description_says(stored: tuple[Feeder, Recorder, Store], tmp_path: Path) -> None:
    schemathesis(stored[0].page, tmp_path, examples=5)


@pytest.mark.long
def test_the_api_does_what_its_description_says_for_many_more_requests(
    stored: tuple[Feeder, Recorder, Store], tmp_path: Path
) -> None:
    schemathesis(stored[0].page, tmp_path, examples=300)
