"""Figures of a classifier's answers: accuracy, per-label table, confusion, calibration; and their tables and plots."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.data import FaceSet


def probabilities(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float64]:
    """Softmax of (n, labels) logits divided by the temperature."""
    scaled = logits.astype(np.float64) / temperature
    exponents = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))


def negative_log_likelihood(scores: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """Mean over the faces, in nats; lower is better."""
    return float(-np.log(np.maximum(scores[np.arange(len(truth)), truth], 1e-12)).mean())


def best_temperature(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """The temperature from 0.3 to 5 at which the likelihood is greatest (Guo et al. 2017, arXiv 1706.04599)."""
    tried = np.exp(np.linspace(np.log(0.3), np.log(5), 200))
    losses = [negative_log_likelihood(probabilities(logits, each), truth) for each in tried]
    return round(float(tried[int(np.argmin(losses))]), 3)


def abstain_threshold(scores: NDArray[np.float64], truth: NDArray[np.int64], accuracy: float) -> float:
    """The lowest confidence above which the answers are right at least this often (share, 0 to 1)."""
    right, confidence = scores.argmax(axis=1) == truth, scores.max(axis=1)
    for hundredths in range(20, 95):
        kept = confidence >= hundredths / 100
        if kept.any() and right[kept].mean() >= accuracy:
            return hundredths / 100
    return 0.95


def expected_calibration_error(scores: NDArray[np.float64], truth: NDArray[np.int64], bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equal-width bins (ECE; arXiv 1706.04599)."""
    right, confidence = scores.argmax(axis=1) == truth, scores.max(axis=1)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(right[place == each].sum() - confidence[place == each].sum()) for each in range(bins)]
    return float(sum(gaps) / len(truth))


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927); (0, 1) when there is nothing to count."""
    if n == 0:
        return 0.0, 1.0
    z, share = 1.96, hits / n
    centre = share + z**2 / (2 * n)
    spread = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return float((centre - spread) / (1 + z**2 / n)), float((centre + spread) / (1 + z**2 / n))


def report(scores: NDArray[np.float64], faces: FaceSet, labels: Sequence[str]) -> dict[str, Any]:
    """All figures on `faces`, each with a majority label; data sets are told apart under "sources"."""
    figures = _figures(scores, faces.majority, labels)
    figures["without_copies"] = _accuracy(scores[~faces.copied], faces.majority[~faces.copied])
    figures["sources"] = {
        str(name): _accuracy(scores[faces.source == name], faces.majority[faces.source == name])
        for name in np.unique(faces.source)
    }
    return figures


def _accuracy(scores: NDArray[np.float64], truth: NDArray[np.int64]) -> dict[str, Any]:
    hits = int((scores.argmax(axis=1) == truth).sum())
    return {"n": len(truth), "accuracy": hits / max(len(truth), 1), "interval_95": wilson(hits, len(truth))}


def _figures(scores: NDArray[np.float64], truth: NDArray[np.int64], labels: Sequence[str]) -> dict[str, Any]:
    answers = scores.argmax(axis=1)
    confusion = np.zeros((len(labels), len(labels)), int)
    np.add.at(confusion, (truth, answers), 1)
    per_label = {label: _label_figures(confusion, index) for index, label in enumerate(labels)}
    present = [figures for figures in per_label.values() if figures["n"]]
    return {
        **_accuracy(scores, truth),
        "balanced_accuracy": float(np.mean([each["recall"] for each in present])),
        "macro_f1": float(np.mean([each["f1"] for each in present])),
        "expected_calibration_error": expected_calibration_error(scores, truth),
        "negative_log_likelihood": negative_log_likelihood(scores, truth),
        "labels": list(labels),
        "per_label": per_label,
        "confusion": confusion.tolist(),
    }


def _label_figures(confusion: NDArray[np.int64], index: int) -> dict[str, Any]:
    hits, n, named = int(confusion[index, index]), int(confusion[index].sum()), int(confusion[:, index].sum())
    return {
        "n": n,
        "hits": hits,
        "recall": hits / max(n, 1),
        "recall_interval_95": wilson(hits, n),
        "precision": hits / max(named, 1),
        "f1": 2 * hits / max(n + named, 1),
    }


def write(figures: dict[str, Any], stem: Path, title: str) -> None:
    """The same figures as `stem`.json, .md and .png (confusion matrix)."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n")
    stem.with_suffix(".md").write_text(as_markdown(figures, title))
    draw_confusion(figures, stem.with_suffix(".png"), title)


def as_markdown(figures: dict[str, Any], title: str) -> str:
    """A page with the headline figures and a row for each label."""
    low, high = figures["interval_95"]
    clean = figures["without_copies"]
    lines = [
        f"# {title}",
        "",
        f"Accuracy **{figures['accuracy']:.2%}** (n = {figures['n']}, 95 % interval {low:.1%} to {high:.1%}); "
        f"without copies of training faces {clean['accuracy']:.2%} (n = {clean['n']}).",
        f"Balanced accuracy {figures['balanced_accuracy']:.2%}, macro F1 {figures['macro_f1']:.3f}, "
        f"expected calibration error {figures['expected_calibration_error']:.3f}.",
        "",
        *[f"- {name}: {each['accuracy']:.2%} (n = {each['n']})" for name, each in figures["sources"].items()],
        "",
        "| label | n | right | recall (95 % interval) | precision | F1 |",
        "|---|---:|---:|---|---:|---:|",
    ]
    for label, each in figures["per_label"].items():
        low, high = each["recall_interval_95"]
        lines.append(
            f"| {label} | {each['n']} | {each['hits']} | {each['recall']:.1%} ({low:.1%} to {high:.1%}) "
            f"| {each['precision']:.1%} | {each['f1']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def draw_confusion(figures: dict[str, Any], path: Path, title: str) -> None:
    """The confusion matrix as a picture: rows are the truth, shares of the row, counts in the cells."""
    from matplotlib.figure import Figure

    counts = np.array(figures["confusion"])
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.add_subplot(title=title, xlabel="read as", ylabel="majority of the votes")
    axes.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(counts)), figures["labels"], rotation=45, ha="right")
    axes.set_yticks(range(len(counts)), figures["labels"])
    for (row, column), count in np.ndenumerate(counts):
        share = count / max(counts[row].sum(), 1)
        axes.text(column, row, str(count), ha="center", va="center", color="white" if share > 0.5 else "black")
    figure.savefig(path, dpi=110)


def draw_history(history: Sequence[dict[str, float]], path: Path) -> None:
    """Loss and accuracy over the epochs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [each["epoch"] for each in history]
    for name in ("loss", "validation_loss"):
        left.plot(epochs, [each[name] for each in history], label=name.replace("_", " "))
    right.plot(epochs, [each["validation_accuracy"] for each in history], label="validation accuracy")
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=110)
