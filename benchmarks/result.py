"""Result: the document that each benchmark gives, its summary over the rounds, and the table that people read."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import machine
from benchmarks.sample import Figures, spread
from edge.classifier import shipped
from edge.faces.networks import NETWORKS

SCHEMA = 2
"""Of the documents; benchmarks/schema.json describes it."""

Document = dict[str, Any]

Round = Mapping[str, Figures]
"""What was measured of each case, one after the other; a figure's unit stands in its name."""


def document(
    benchmark: str, settings: Mapping[str, Any], rounds: Sequence[Round], facts: dict[str, Any], **more: Any
) -> Document:
    """All of it; `facts` are those of `machine.facts()`, from before the first round."""
    return {
        "benchmark": benchmark,
        "schema": SCHEMA,
        "settings": dict(settings),
        "machine": facts,
        "networks": networks(),
        "doubts": machine.warnings(facts),
        **more,
        "rounds": [{case: dict(figures) for case, figures in each.items()} for each in rounds],
        "summary": summary(rounds),
    }


def networks() -> dict[str, str]:
    """sha256 of each network that ships, by its file's name."""
    files = [*shipped().values(), *(each.path for each in NETWORKS.values())]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def summary(rounds: Sequence[Round]) -> dict[str, dict[str, dict[str, float]]]:
    """Of each case, the spread over the rounds of each figure that all of them have."""
    return {
        case: {name: spread([each[case][name] for each in rounds]) for name in figures}
        for case, figures in rounds[0].items()
    }


def merged(results: Sequence[Document]) -> Document:
    """One of several with the same settings: the first's machine, the rounds and doubts of all."""
    rounds = [each for result in results for each in result["rounds"]]
    doubts = sorted({doubt for result in results for doubt in result["doubts"]})
    return {**results[0], "doubts": doubts, "rounds": rounds, "summary": summary(rounds)}


def as_markdown(result: Document) -> str:
    """Tables of the medians, a column for each case; cases that have the same figures share one."""
    tables: dict[tuple[str, ...], list[str]] = {}
    for case, figures in result["summary"].items():
        tables.setdefault(tuple(figures), []).append(case)
    lines = [_origin(result), *(f"- doubtful: {each}" for each in result["doubts"])]
    for names, cases in tables.items():
        lines += ["", f"| figure | {' | '.join(cases)} |", f"|---{'|---' * len(cases)}|"]
        lines += [_row(name, [result["summary"][case][name] for case in cases]) for name in names]
    return "\n".join(lines) + "\n"


def _row(name: str, figures: Sequence[Figures]) -> str:
    return " | ".join([f"| {name}", *(f"{each['median']:.3g}{_margin(each)}" for each in figures)]) + " |"


def _margin(figure: Mapping[str, float]) -> str:
    return f" ± {(figure['high'] - figure['low']) / 2:.2g}" if "high" in figure else ""


def _origin(result: Document) -> str:
    found = result["machine"]
    return (
        f"`python -m benchmarks {result['benchmark']}`, {found['date'][:10]}, {len(result['rounds'])} rounds: "
        f"{found['board'] or found['processor']}, {found['cores']} cores, Python {found['python']}, "
        f"{found['interpreter']}, emotion-edge {found['emotion_edge']} ({found['commit']}).\n"
        "Medians, ± 95 % of the mean.\n"
    )
