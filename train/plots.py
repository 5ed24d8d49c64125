"""Pictures of what was measured, as PNG: confusion, reliability, risk and coverage, robustness, data sets crossed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
BLUE, ORANGE = "#1f5fa8", "#d9822b"
TRUTHS = {"votes": "majority of the votes", "label": "label of the data set"}


def draw_report(figures: dict[str, Any], path: Path, title: str) -> None:
    """The confusion matrix, and beside it how confidence and accuracy agree and what abstaining would bring."""
    figure = _figure(15, 5.4)
    figure.suptitle(title)
    confusion, calibration, coverage = figure.subplots(1, 3, width_ratios=[1.25, 1, 1])
    _confusion(confusion, figures)
    _reliability(calibration, figures)
    _coverage(coverage, figures)
    figure.savefig(path, dpi=DPI)


def _confusion(axes: "Axes", figures: dict[str, Any]) -> None:
    """Rows are the truth; colours are shares of the row, numbers are faces."""
    counts = np.array(figures["confusion"])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    _heat(axes, shares, counts.astype(str), figures["labels"], figures["labels"])
    axes.set(title="faces", xlabel="read as", ylabel=TRUTHS[figures["truth"]])


def _heat(
    axes: "Axes", shares: NDArray[np.float64], texts: NDArray[np.str_], rows: Sequence[str], columns: Sequence[str]
) -> None:
    """Shares from 0 to 1 as colours, nan white, with a text in each cell."""
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    for place, text in np.ndenumerate(texts):
        colour = "white" if shares[place] > 0.5 else "black"
        axes.text(place[1], place[0], str(text), ha="center", va="center", color=colour)


def _reliability(axes: "Axes", figures: dict[str, Any]) -> None:
    """Accuracy of the answers in each bin of confidence; on the diagonal where they are as often right as they say."""
    bins = figures["reliability"]
    starts, widths = [each["from"] for each in bins], [each["to"] - each["from"] for each in bins]
    axes.bar(starts, [each["accuracy"] for each in bins], widths, align="edge", color=BLUE, edgecolor="white")
    share = [each["n"] / figures["n"] for each in bins]
    axes.step([*starts, bins[-1]["to"]], [*share, share[-1]], where="post", color=ORANGE, label="share of the faces")
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="as sure as right")
    error = figures["expected_calibration_error"]
    axes.set(title=f"calibration error {error:.1%}", xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left", fontsize="small")


def _coverage(axes: "Axes", figures: dict[str, Any]) -> None:
    points = figures["risk_coverage"]["points"]
    axes.plot([each["coverage"] for each in points], [1 - each["accuracy"] for each in points], color=BLUE, marker=".")
    sure = figures["surest"]
    axes.annotate(
        f"{sure['coverage']:.0%} surest: {sure['accuracy']:.1%} right",
        (sure["coverage"], 1 - sure["accuracy"]),
        (-10, 12),
        textcoords="offset points",
        ha="right",
    )
    area = figures["risk_coverage"]["aurc"]
    axes.set(title=f"area {area:.3f}", xlabel="share of the faces, the surest", ylabel="errors among them", xlim=(0, 1))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)


def draw_robustness(table: dict[str, Any], path: Path, title: str) -> None:
    """A bar with its interval for each change of the faces; the line is the accuracy on the faces as they are."""
    rows = table["rows"]
    figure = _figure(8, 0.3 * len(rows) + 1.4)
    axes = figure.add_subplot()
    accuracy = np.array([each["accuracy"] for each in rows])
    spread = np.array([each["interval_95"] for each in rows]).T - accuracy
    axes.barh([each["name"] for each in rows], accuracy, xerr=np.abs(spread), color=BLUE, ecolor=ORANGE)
    axes.axvline(accuracy[0], color="grey", linestyle="--")
    axes.invert_yaxis()
    axes.set(title=title, xlabel=f"accuracy on {table['n']} faces, with its 95 % interval", xlim=(0, 1))
    figure.savefig(path, dpi=DPI)


def draw_matrix(table: dict[str, Any], path: Path, title: str) -> None:
    """Accuracy of each model on each data set."""
    rows, columns = table["models"], table["columns"]
    cells = [[table["cells"][row][column["name"]] for column in columns] for row in rows]
    shares = np.array([[each.get("accuracy", np.nan) for each in row] for row in cells])
    texts = np.where(np.isnan(shares), "trained on", np.char.mod("%.1f %%", np.nan_to_num(shares) * 100))
    figure = _figure(1.6 * len(columns) + 3.5, 0.6 * len(rows) + 2.2)
    axes = figure.add_subplot()
    _heat(axes, shares, texts, rows, [f"{each['name']}\nn = {each['n']}" for each in columns])
    axes.set(title=title)
    figure.savefig(path, dpi=DPI)


def _figure(width_inches: float, height_inches: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width_inches, height_inches), layout="constrained")
