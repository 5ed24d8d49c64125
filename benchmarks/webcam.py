"""Webcam: a live camera, first what it delivers by itself, then what the pipeline makes of it."""

import argparse
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

from benchmarks import machine, pipeline
from benchmarks.bound import WARM_UP_FRAMES, refuse_too_few
from benchmarks.case import isolated
from benchmarks.result import Document, document
from benchmarks.sample import durations, gaps_ms
from edge import config
from edge.sources import Source, open_source


def camera_alone(settings: config.Settings, frames: int) -> dict[str, float]:
    """Frames a second of the camera with nobody behind it, and what a read takes."""
    return alone(open_source(settings.camera), frames)


def alone(source: Source, frames: int) -> dict[str, float]:
    """See camera_alone."""
    with closing(iter(source)) as watched:
        seen = [(frame.captured_at, frame.took_ms) for frame in islice(watched, WARM_UP_FRAMES, frames)]
    refuse_too_few(len(seen))
    stamps, took_ms = zip(*seen, strict=True)
    return {
        "fps": (len(stamps) - 1) / (stamps[-1] - stamps[0]),
        "frames": len(stamps),
        **durations("read", took_ms),
        **durations("gap", gaps_ms(stamps)),
    }


def through_pipeline(settings: config.Settings, frames: int) -> dict[str, float]:
    """The same camera, see benchmarks.pipeline."""
    return watched(open_source(settings.camera), settings, frames)


def watched(source: Source, settings: config.Settings, frames: int) -> dict[str, float]:
    """See through_pipeline."""
    published, counts = pipeline.watch(source, settings, frames)
    return {**published.figures(), **counts}


def run(settings: config.Settings, rounds: int, seconds: float, tell: Callable[[str], None]) -> Document:
    """Both for about so long each; `share` is the part of the camera's frames that the pipeline publishes."""
    frames = max(2 * WARM_UP_FRAMES, round(seconds * settings.camera.fps))
    facts, done = machine.facts(), []
    for number in range(1, rounds + 1):
        camera = isolated(camera_alone, settings, frames)
        published = isolated(through_pipeline, settings, frames)
        done.append({"camera": camera, "pipeline": {**published, "share": published["fps"] / camera["fps"]}})
        tell(f"round {number}/{rounds}: camera {camera['fps']:.1f} FPS, pipeline {published['fps']:.1f}")
    asked = settings.camera
    about = {"source": asked.source, "asked_fps": asked.fps, "frames": frames, "size": [asked.width, asked.height]}
    return document("webcam", about | {"warm_up_frames": WARM_UP_FRAMES}, done, facts)


def options(parser: argparse.ArgumentParser) -> None:
    """Those of the command line."""
    parser.add_argument("--source", default="0", help="0 or /dev/video0 (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each part (default: %(default)s)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (TOML)")


def asked(given: argparse.Namespace, tell: Callable[[str], None]) -> Document:
    """What the command line asks for."""
    settings = config.read(given.config) if given.config else config.Settings()
    return run(
        replace(settings, camera=replace(settings.camera, source=given.source)), given.rounds, given.seconds, tell
    )
