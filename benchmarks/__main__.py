"""`python -m benchmarks`: the detector, the pipeline on a clip or a camera, the daemon for long, a board; as JSON."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge import config
from edge.errors import EmotionEdgeError, OutputError


def main(argv: Sequence[str] | None = None) -> int:
    """0 when it was measured, 2 for what the user can mend."""
    given = _parser().parse_args(argv)
    try:
        _write(given.measure(given), given.out)
    except EmotionEdgeError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True)
    pipeline = commands.add_parser("pipeline", help="the real threads on a clip, against the bound of their stages")
    pipeline.add_argument("--source", default="demo", help='"demo" or a video file (default: %(default)s)')
    pipeline.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    pipeline.add_argument("--frames", type=int, default=900, help="of the source, a round (default: %(default)s)")
    pipeline.set_defaults(measure=_pipeline)
    webcam = commands.add_parser("webcam", help="a live camera, alone and with the pipeline behind it")
    webcam.add_argument("--source", default="0", help="0 or /dev/video0 (default: %(default)s)")
    webcam.add_argument("--seconds", type=float, default=10.0, help="of each part (default: %(default)s)")
    webcam.set_defaults(measure=_webcam)
    detector = commands.add_parser("detector", help="what is found and believed, with faces and without")
    detector.add_argument("--frames", type=int, default=600, help="of each film (default: %(default)s)")
    detector.set_defaults(measure=_detector)
    soak = commands.add_parser("soak", help="the whole daemon at full speed for long: does anything grow?")
    soak.add_argument("--seconds", type=float, default=3600.0, help="default: %(default)s")
    soak.set_defaults(measure=_soak)
    board = commands.add_parser("board", help="all of a computer in five minutes, as a report to send to others")
    board.add_argument(
        "--out", type=Path, default=Path("report.json"), metavar="FILE.json", help="default: %(default)s"
    )
    board.add_argument("--rounds", type=int, default=3, help="of the pipeline (default: %(default)s)")
    board.add_argument("--frames", type=int, default=900, help="a round (default: %(default)s)")
    board.add_argument("--starts", type=int, default=5, help="default: %(default)s")
    board.add_argument("--idle-seconds", type=float, default=30.0, help="default: %(default)s")
    board.set_defaults(measure=_board)
    for each in (pipeline, webcam, detector, soak):
        each.add_argument(
            "--out", type=Path, metavar="FILE.json", help="write the figures here, not to standard output"
        )
    for each in (pipeline, webcam):
        each.add_argument("--config", type=Path, metavar="FILE", help="settings (TOML)")
    return parser


def _settings(given: argparse.Namespace) -> config.Settings:
    settings = config.read(given.config) if given.config else config.Settings()
    return replace(settings, camera=replace(settings.camera, source=given.source))


def _pipeline(given: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.pipeline import run

    return run(_settings(given), given.rounds, given.frames, lambda text: print(text, file=sys.stderr))


def _detector(given: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.detector import run

    return run(given.frames, lambda text: print(text, file=sys.stderr))


def _soak(given: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.soak import run

    return run(given.seconds, lambda text: print(text, file=sys.stderr))


def _webcam(given: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.webcam import run

    return run(_settings(given), given.seconds)


def _board(given: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.board import Effort, as_markdown, run

    if not os.access(folder := given.out.absolute().parent, os.W_OK):  # said before the five minutes, not after
        raise OutputError(f"{folder}: no report can be written there: expected a folder that is, as --out")
    effort = Effort(given.rounds, given.frames, given.starts, given.idle_seconds)
    report = run(effort, lambda text: print(text, file=sys.stderr))
    _save(given.out.with_suffix(".md"), as_markdown(report))
    return report


def _write(figures: dict[str, Any], out: Path | None) -> None:
    for doubt in figures["doubts"]:
        print(f"doubtful: {doubt}", file=sys.stderr)
    for name, value in figures["summary"].items():
        print(f"{name}: {value:.3f}", file=sys.stderr)
    text = json.dumps(figures, indent=1) + "\n"
    if out is None:
        print(text, end="")
        return
    _save(out, text)


def _save(out: Path, text: str) -> None:
    try:
        out.write_text(text)
    except OSError as error:
        raise OutputError(f"{out}: cannot write the figures: {error.strerror}") from error
    print(f"written: {out}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
