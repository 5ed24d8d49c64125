"""Plot: a result as a picture: for each figure that all cases of a table have, a bar for each case."""

from pathlib import Path
from typing import Any

from benchmarks.result import Document
from edge.errors import EmotionEdgeError, OutputError

WANTED = "fps", "of_bound", "_ms", "share", "recall", "rss", "seconds"
"""Figures with one of these in their names are drawn."""

COLUMNS = 4


def draw(result: Document, path: Path) -> None:
    """Write it as PNG, the mean's interval as a whisker; OutputError if it cannot be written."""
    pyplot = _pyplot()
    panels = _panels(result)
    rows = -(-len(panels) // COLUMNS)
    figure, axes = pyplot.subplots(rows, COLUMNS, figsize=(4 * COLUMNS, 0.9 + 2.6 * rows), squeeze=False)
    for each in axes.flat[len(panels) :]:
        each.axis("off")
    for place, (name, cases) in zip(axes.flat, panels.items(), strict=False):
        place.barh(
            list(cases), [each["mean"] for each in cases.values()], xerr=[_whisker(each) for each in cases.values()]
        )
        place.set_title(name, fontsize=9)
        place.tick_params(labelsize=7)
        place.invert_yaxis()
    figure.suptitle(f"{result['benchmark']}, {result['machine']['date'][:10]}, {result['machine']['commit']}")
    figure.tight_layout()
    try:
        figure.savefig(path, dpi=80)
    except OSError as error:
        raise OutputError(f"{path}: cannot write the picture: {error.strerror}") from error


def _panels(result: Document) -> dict[str, dict[str, dict[str, float]]]:
    """Cases by figure."""
    panels: dict[str, dict[str, dict[str, float]]] = {}
    for case, figures in result["summary"].items():
        for name, spread in figures.items():
            if any(each in name for each in WANTED):
                panels.setdefault(name, {})[case] = spread
    return panels


def _whisker(spread: dict[str, float]) -> float:
    return (spread["high"] - spread["low"]) / 2 if "high" in spread else 0.0


def _pyplot() -> Any:
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise EmotionEdgeError("pictures need matplotlib: pip install 'emotion-edge[export]'") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
