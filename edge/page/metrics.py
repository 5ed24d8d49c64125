"""Metrics: a status document in Prometheus' text format. Counts and times only, nothing of any face."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

PREFIX = "emotion_edge"

THROTTLE_BITS = ("under-voltage", "frequency-capped", "throttled", "soft-temperature-limit")
"""What a Raspberry Pi tells of its power and heat; each also with "-occurred", since the boot."""

QUANTILES = {"p50": "0.5", "p95": "0.95", "p99": "0.99"}


def exposition(status: Mapping[str, Any], restarts: int) -> bytes:
    """The metrics of a status document, and of the page's process, which was started again `restarts` times."""
    registry = CollectorRegistry()
    registry.register(_Status(status, restarts))
    return generate_latest(registry)


class _Status(Collector):
    def __init__(self, status: Mapping[str, Any], restarts: int) -> None:
        self._status, self._restarts = status, restarts

    def collect(self) -> Iterable[Metric]:
        status = self._status
        yield from _speed(status)
        yield from _faces(status)
        yield from _links(status)
        yield from _machine(status)
        yield from _effort(status["governor"])
        yield _labelled("restarts", "Times that a process was started again", "process", {"page": self._restarts})


def _speed(status: Mapping[str, Any]) -> Iterator[Metric]:
    if "camera_fps" in status:  # of a film, only the pace of reading is known
        yield _gauge("camera_fps", "Pictures a second from the camera", status["camera_fps"])
    yield _gauge("process_fps", "Pictures a second that were read and published", status["fps"])
    yield _counter("captured_frames", "Pictures taken from the camera", status["captured"])
    yield _counter("published_frames", "Pictures that were read and published", status["published"])
    yield _labelled("skipped_frames", "Pictures that were not read, by reason", "reason", status["dropped"])
    stages = HistogramMetricFamily(f"{PREFIX}_stage_latency_seconds", "What each step took", labels=["stage"])
    for stage, times in status["stage_seconds"].items():
        stages.add_metric([stage], [(str(bound), count) for bound, count in times["buckets"]], times["sum"])
    yield stages
    age = Metric(f"{PREFIX}_frame_age_seconds", "From a picture's capture to its publishing, lately", "summary")
    for name, quantile in QUANTILES.items():
        if name in status["age_ms"]:
            age.add_sample(age.name, {"quantile": quantile}, status["age_ms"][name] / 1000)
    yield age


def _faces(status: Mapping[str, Any]) -> Iterator[Metric]:
    totals = status["totals"]
    yield _gauge("faces", "Faces in the last picture", len(status["faces"]))
    yield _labelled("label", "Events by label", "label", totals["labels"])
    yield _counter("label_flips", "Changes of a face's label", totals["label_flips"])
    yield _counter("uncertain", "Events whose label is uncertain", totals["uncertain"])


def _links(status: Mapping[str, Any]) -> Iterator[Metric]:
    broker, store = status["mqtt"], status["store"]
    yield _gauge("mqtt_connected", "1 while the broker has accepted us", int(broker["connected"]))
    yield _gauge("mqtt_queue_depth", "Events that wait for the broker", broker["queue_depth"])
    yield _counter("mqtt_dropped", "Events that the broker will never get", broker["dropped"])
    yield _gauge("store_held", "Events that wait to be stored", store["held"])
    yield _counter("store_lost", "Events that could not be stored", store["lost"])
    yield _gauge("camera_running", "1 while the camera gives pictures", int(status["camera"]["state"] == "running"))
    yield _counter("camera_reopens", "Times that the camera was opened again", status["camera"]["reopens"])


def _machine(status: Mapping[str, Any]) -> Iterator[Metric]:
    model = status["model"]
    if status["temperature_celsius"] is not None:
        yield _gauge("temperature_celsius", "Of the processor", status["temperature_celsius"])
    throttled = GaugeMetricFamily(f"{PREFIX}_throttled", "1 for what slows the processor down", labels=["bit"])
    for bit in (*THROTTLE_BITS, *(f"{each}-occurred" for each in THROTTLE_BITS)):
        throttled.add_metric([bit], int(bit in status["throttled"]))
    yield throttled
    yield _gauge("rss_bytes", "Memory of the daemon", status["rss_bytes"])
    yield _gauge("uptime_seconds", "Since the daemon started", status["uptime_seconds"])
    told = {name: str(model[name]) for name in ("name", "version", "sha", "quant")}
    used = GaugeMetricFamily(f"{PREFIX}_model_info", "The model that is used", labels=list(told))
    used.add_metric(list(told.values()), 1)
    yield used


def _effort(governor: Mapping[str, Any]) -> Iterator[Metric]:
    yield _gauge("detect_every", "Faces are searched in every so many pictures", governor["detect_every"])
    yield _gauge("idle", "1 while nobody is there and less is done", int(governor["idle"]))
    if governor["rate_fps"] is not None:
        yield _gauge("rate_limit_fps", "Pictures a second that are taken at most", governor["rate_fps"])


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", what, value=value)


def _counter(name: str, what: str, value: float) -> Metric:
    """Its name gets the ending _total."""
    return CounterMetricFamily(f"{PREFIX}_{name}", what, value=value)


def _labelled(name: str, what: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(f"{PREFIX}_{name}", what, labels=[label])
    for each, value in values.items():
        family.add_metric([each], value)
    return family
