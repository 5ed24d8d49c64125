"""Pipeline: the daemon's real threads on a film, flat out and paced, held against the bound of the film's own stages.

age          from the frame's `captured_at` to its scene in the caller's hands
jitter       p99 - p50 of the time between two scenes
recall, ...  see benchmarks.film; a speed without them says nothing
of_bound     throughput as a share of T_bound, ages in units of L_bound; see benchmarks.bound
captured = published + dropped, for every run, or the benchmark fails.
"""

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import bound, machine
from benchmarks.bound import WARM_UP_FRAMES, bounds
from benchmarks.case import isolated
from benchmarks.film import open_film, refuse_unknown, settings_of, sight
from benchmarks.result import Document, document
from benchmarks.sample import durations, gaps_ms
from benchmarks.seen import Seen
from edge import config
from edge.classifier import open_classifier
from edge.errors import EmotionEdgeError
from edge.pipeline import Pipeline
from edge.run import perceiver_of, stages_of
from edge.scene import Scene
from edge.sources import Source
from edge.stats import percentile

PACES = 30, 60, 120
"""Frames a second of the paced runs."""


@dataclass
class Published(Seen):
    """What the caller of a Pipeline got, after the warm-up."""

    steps_ms: dict[str, list[float]] = field(default_factory=dict)

    def add_scene(self, scene: Scene, now: float) -> None:
        """As `add`, with the scene's faces and steps."""
        if self.add(scene.frame, [each.face.box for each in scene.readings], now):
            for step, took_ms in {"capture": scene.frame.took_ms, **scene.took_ms}.items():
                self.steps_ms.setdefault(step, []).append(took_ms)

    def figures(self) -> dict[str, float]:
        """Those of Seen, evenness, and the steps' medians."""
        return {
            **super().figures(),
            "published_share": len(self.numbers) / (self.numbers[-1] - self.numbers[0] + 1),
            "jitter_ms": durations("gap", gaps_ms(self.at))["gap_jitter_ms"],
            **{f"{step}_p50_ms": percentile(took, 50) for step, took in self.steps_ms.items()},
        }


def measure(settings: config.Settings, name: str, frames: int, fps: float | None, cores: int) -> dict[str, float]:
    """One run of the film, at a pace or flat out, on so many of our cores."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    source, truth = open_film(name, settings.camera, fps, frames)
    published, counts = watch(source, settings, frames)
    return {**published.figures(), **counts, **sight(published.boxes, truth)}


def watch(source: Source, settings: config.Settings, frames: int) -> tuple[Published, dict[str, float]]:
    """What the daemon's own threads make of so many frames, events counted."""
    told: Counter[str] = Counter()
    published = Published()
    perceiver = perceiver_of(settings, open_classifier(settings.model), lambda event: told.update([event.type]))
    with closing(perceiver), Pipeline(source, stages_of(perceiver), every=not source.live) as scenes:
        for scene in scenes:
            published.add_scene(scene, time.monotonic())
            if scene.frame.number + 1 >= frames:
                break
    return published, {**counts(scenes), "events": told.total()}


def counts(ended: Pipeline) -> dict[str, float]:
    """Frames captured, published and dropped; EmotionEdgeError where one is unaccounted for."""
    dropped = dict(ended.dropped)
    if ended.captured != ended.published + sum(dropped.values()):
        raise EmotionEdgeError(
            f"captured {ended.captured}, published {ended.published}, dropped {dropped}: a fault of ours"
        )
    lost = {f"dropped_{why}": count for why, count in dropped.items()}
    return {"captured": ended.captured, "published": ended.published, **lost}


def of_bound(figures: dict[str, float], limits: dict[str, float]) -> dict[str, float]:
    """A run's figures, and how they stand to the bound."""
    return {
        **figures,
        **limits,
        "throughput_of_bound": figures["fps"] / limits["throughput_bound_fps"],
        **{f"age_{q}_of_bound": figures[f"age_{q}_ms"] / limits["latency_bound_ms"] for q in ("p50", "p99")},
    }


def film_round(
    settings: config.Settings, name: str, frames: int, paces: Iterable[float], cores: int
) -> dict[str, dict[str, float]]:
    """The stages of one film, flat out on one core and on all, and each pace; each in a process of its own."""
    stages = isolated(bound.measure, settings, name, frames)
    done = {f"{name} stages": {**stages, **bounds(stages, cores)}}
    for used in sorted({1, cores}):
        figures = isolated(measure, settings, name, frames, None, used)
        done[f"{name} flat out, {used} core{'s'[: used > 1]}"] = of_bound(figures, bounds(stages, used))
    for pace in paces:
        figures = isolated(measure, settings, name, frames, pace, cores)
        done[f"{name} at {pace:g} FPS"] = of_bound(figures, bounds(stages, cores, pace))
    return done


def run(
    settings: config.Settings,
    names: list[str],
    rounds: int,
    frames: int,
    paces: list[float],
    tell: Callable[[str], None],
) -> Document:
    """Every film in every round."""
    for name in names:
        refuse_unknown(name)
    facts, done = machine.facts(), list[dict[str, dict[str, float]]]()
    for number in range(1, rounds + 1):
        done.append({})
        for name in names:
            done[-1] |= (fresh := film_round(settings, name, frames, paces, facts["cores"]))
            tell(f"round {number}/{rounds} {brief(fresh)}")
    return document("pipeline", _settings(settings, names, frames, paces), done, facts)


def brief(done: dict[str, dict[str, float]]) -> str:
    """A line for who waits."""
    runs = {case: each for case, each in done.items() if "fps" in each}
    words = [
        f"{case}: {each['fps']:.0f} FPS, {each['throughput_of_bound']:.0%}, p99 {each['age_p99_ms']:.1f} ms"
        for case, each in runs.items()
    ]
    return "; ".join(words)


def _settings(settings: config.Settings, names: list[str], frames: int, paces: list[float]) -> dict[str, Any]:
    return {
        "films": names,
        "frames": frames,
        "paces_fps": paces,
        **{table: asdict(getattr(settings, table)) for table in ("model", "faces", "limits", "track")},
        "warm_up_frames": WARM_UP_FRAMES,
        **settings_of(settings.camera),
    }


def options(parser: argparse.ArgumentParser) -> None:
    """Those of the command line."""
    parser.add_argument(
        "--film",
        action="append",
        metavar="FILM",
        help="demo, faces-0, faces-1, faces-3, faces-10, or a video file; may be said again (default: demo)",
    )
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--frames", type=int, default=900, help="of the film, a run (default: %(default)s)")
    parser.add_argument("--pace", type=float, action="append", metavar="FPS", help=f"default: {PACES}")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (TOML)")


def asked(given: argparse.Namespace, tell: Callable[[str], None]) -> Document:
    """What the command line asks for."""
    settings = config.read(given.config) if given.config else config.Settings()
    return run(settings, given.film or ["demo"], given.rounds, given.frames, given.pace or list(PACES), tell)
