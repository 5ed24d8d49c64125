"""Compare: two results of one benchmark, round against round: by how much does the second differ, and is that more than
chance?

Rounds are paired by their numbers, as `pair` makes them: the two take turns, so that what the machine does beside meets
both. Of each figure the ratios are compared, as logarithms: log(B / A) of each pair, and the interval of their mean.
"""

import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.case import ROOT
from benchmarks.result import SCHEMA, Document, merged
from benchmarks.sample import interval
from edge.errors import EmotionEdgeError, SettingsError

ALIKE = "board", "processor", "architecture", "cores", "system", "governor", "python"
"""What of the machine must be the same."""


def read(path: Path) -> Document:
    """A result; SettingsError for a file that is none."""
    try:
        result: Document = json.loads(path.read_text())
        if result["schema"] == SCHEMA and result["rounds"]:
            return result
        found = f"schema {result['schema']!r}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        found = str(error)
    raise SettingsError(f"{path}: {found}: expected a result of `python -m benchmarks` with schema {SCHEMA}")


def refuse_unlike(first: Document, second: Document) -> None:
    """SettingsError, naming what differs, for results that say nothing about each other."""
    ours, theirs = _circumstances(first), _circumstances(second)
    unlike = [name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)]
    if unlike:
        told = "; ".join(f"{name} {ours.get(name)!r} and {theirs.get(name)!r}" for name in sorted(unlike))
        raise SettingsError(f"results of unlike runs: {told}: expected the same settings on the same machine")
    if len(first["rounds"]) < 2:
        raise SettingsError("one round each: expected two at least, for an interval")


def _circumstances(result: Document) -> dict[str, Any]:
    """What must be the same in two results."""
    asked = {"benchmark": result["benchmark"], "rounds": len(result["rounds"]), **result["settings"]}
    return asked | {name: result["machine"][name] for name in ALIKE}


def ratios(first: Document, second: Document) -> Iterator[tuple[str, str, float, float, float]]:
    """Case, figure, ratio, and its interval of 95 %; of figures that are above 0 in every round."""
    for case, figures in first["summary"].items():
        for name in figures:
            pairs = [(a[case][name], b[case][name]) for a, b in zip(first["rounds"], second["rounds"], strict=True)]
            if all(a > 0 and b > 0 for a, b in pairs):
                steps = [math.log(b / a) for a, b in pairs]
                yield case, name, *map(math.exp, (statistics.fmean(steps), *interval(steps)))


def as_markdown(first: Document, second: Document) -> str:
    """A table of what differs by more than chance, and how many figures do not."""
    refuse_unlike(first, second)
    rows, alike = ["| case | figure | B / A | 95 % |", "|---|---|---|---|"], 0
    for case, name, ratio, low, high in ratios(first, second):
        if low <= 1 <= high:
            alike += 1
        else:
            rows.append(f"| {case} | {name} | {ratio:.3f} | {low:.3f} to {high:.3f} |")
    sides = [f"{letter}: {each['machine']['commit']}" for letter, each in zip("AB", (first, second), strict=True)]
    about = f"`{first['benchmark']}`, {', '.join(sides)}, {len(first['rounds'])} rounds."
    return "\n".join([about, f"{alike} more figures do not differ by more than chance.", "", *rows]) + "\n"


def pair(other: Path, words: list[str], rounds: int, tell: Callable[[str], None]) -> tuple[Document, Document]:
    """Another checkout's (A) and our (B) `python -m benchmarks WORDS`, a round of each in turn."""
    both: tuple[list[Document], list[Document]] = ([], [])
    for number in range(1, rounds + 1):
        for side, folder in zip(both, (other, ROOT), strict=True):
            side.append(_one_round(folder, words))
        tell(f"round {number}/{rounds} of both")
    return merged(both[0]), merged(both[1])


def _one_round(folder: Path, words: list[str]) -> Document:
    with tempfile.TemporaryDirectory(prefix="emotion-edge-pair-") as place:
        out = Path(place) / "round.json"
        command = [sys.executable, "-m", "benchmarks", *words, "--rounds", "1", "--out", str(out)]
        done = subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise EmotionEdgeError(f"{folder}: {' '.join(words)}: {done.stderr.strip().splitlines()[-1]}")
        return read(out)
