"""A live camera: first what it delivers by itself, then what the pipeline makes of it."""

import time
from contextlib import closing
from itertools import islice
from typing import Any

from benchmarks import machine
from benchmarks.pipeline import measure_pipeline
from edge import config
from edge.classifier import open_classifier
from edge.run import one_thread_a_stage
from edge.sources import Source, open_source
from edge.stats import percentile


def camera_alone(source: Source, frames: int) -> dict[str, Any]:
    """Frames a second of the source with nobody behind it, and what a read takes."""
    with closing(iter(source)) as watched:
        seen = [(frame.captured_at, frame.took_ms) for frame in islice(watched, frames)]
    stamps, took_ms = zip(*seen, strict=True)
    return {
        "fps": (len(stamps) - 1) / (stamps[-1] - stamps[0]),
        "frames": len(stamps),
        "read_ms": {f"p{q}": percentile(took_ms, q) for q in (50, 95, 99)},
    }


def run(settings: config.Settings, seconds: float) -> dict[str, Any]:
    """Both measured for about so long each; the share of the camera's frames that the pipeline publishes."""
    one_thread_a_stage()
    frames = max(60, round(seconds * settings.camera.fps))
    classifier = open_classifier(settings.model)
    found, began = machine.facts(), time.monotonic()
    alone = camera_alone(open_source(settings.camera), frames)
    through = measure_pipeline(open_source(settings.camera), settings, classifier, frames)
    return {
        "benchmark": "webcam",
        "schema": 1,
        "settings": {
            "source": settings.camera.source,
            "asked_fps": settings.camera.fps,
            "frames": frames,
            "size": [settings.camera.width, settings.camera.height],
        },
        "model": classifier.name,
        "machine": found,
        "doubts": machine.warnings(found),
        "took_seconds": time.monotonic() - began,
        "camera": alone,
        "pipeline": through,
        "summary": {"camera_fps": alone["fps"], "pipeline_fps": through["fps"], "share": through["fps"] / alone["fps"]},
    }
