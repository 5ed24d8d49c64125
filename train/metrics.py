"""Figures of a classifier's answers, all from the probabilities that it gave: how often right, and how sure."""

import json
from collections.abc import Iterable, Sequence
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract import FER2013_LABELS, GROUP_OF, GROUPS, LABELS
from edge.errors import SourceError
from train.data import HEADS, FaceSet, Truth

Scores = NDArray[np.float64]
"""(n, labels) probabilities; rows sum to 1."""
Places = NDArray[np.int64]
"""(n,) the right answers, as indices in the labels."""

BINS = 15
"""Of equal width, for the calibration error; as many as in Guo et al. 2017 (arXiv 1706.04599)."""
SURE_SHARE = 0.8
"""The headline tells how often the surest so many answers are right."""


def probabilities(logits: NDArray[np.float32], temperature: float = 1.0) -> Scores:
    """Softmax of (n, labels) logits divided by the temperature."""
    scaled = logits.astype(np.float64) / temperature
    exponents = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))


def negative_log_likelihood(scores: Scores, truth: Places) -> float:
    """Mean over the faces, in nats; lower is better."""
    return float(-np.log(np.maximum(scores[np.arange(len(truth)), truth], 1e-12)).mean())


def best_temperature(logits: NDArray[np.float32], truth: Places) -> float:
    """The temperature from 0.3 to 5 at which the likelihood is greatest (Guo et al. 2017, arXiv 1706.04599).

    In sharpness, 1 / temperature, the negative log-likelihood is convex; its slope, the logit that is expected less the
    logit of the truth, changes its sign once, and there we end. Answers that are all right want no softening at all,
    answers by chance no end of it: hence the two bounds.
    """
    right = logits[np.arange(len(truth)), truth].astype(np.float64)
    low, high = 1 / 5, 1 / 0.3
    for _ in range(40):
        sharpness = (low + high) / 2
        expected = (probabilities(logits, 1 / sharpness) * logits).sum(axis=1)
        low, high = (low, sharpness) if (expected - right).mean() > 0 else (sharpness, high)
    return round(2 / (low + high), 3)


def abstain_threshold(scores: Scores, truth: Places, accuracy: float) -> float:
    """The lowest confidence, in hundredths, from which on the answers are right at least this often (share, 0 to 1).

    From 0.20, below which no answer of eight labels lies that means anything, to 0.95, also where that is not enough.
    """
    right, confidence = scores.argmax(axis=1) == truth, scores.max(axis=1)
    for hundredths in range(20, 95):
        kept = confidence >= hundredths / 100
        if kept.any() and right[kept].mean() >= accuracy:
            return hundredths / 100
    return 0.95


def answered(scores: Scores, truth: Places, threshold: float) -> dict[str, float]:
    """With answers of less confidence withheld: the share of the faces that get one, and how often it is right."""
    sure = scores.max(axis=1) >= threshold
    right = scores.argmax(axis=1) == truth
    return {"threshold": threshold, "answered": _mean(sure), "accuracy": _mean(right[sure])}


def reliability(scores: Scores, truth: Places, bins: int = BINS) -> list[dict[str, float]]:
    """For each bin of equal width that has faces: its edges, faces, mean confidence, and accuracy."""
    right, confidence = scores.argmax(axis=1) == truth, scores.max(axis=1)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        {
            "from": int(each) / bins,
            "to": (int(each) + 1) / bins,
            "n": int((place == each).sum()),
            "confidence": float(confidence[place == each].mean()),
            "accuracy": float(right[place == each].mean()),
        }
        for each in np.unique(place)
    ]


def expected_calibration_error(scores: Scores, truth: Places, bins: int = BINS) -> float:
    """Mean gap between confidence and accuracy over the bins, by their faces (ECE; arXiv 1706.04599)."""
    gaps = [each["n"] * abs(each["accuracy"] - each["confidence"]) for each in reliability(scores, truth, bins)]
    return float(sum(gaps) / max(len(truth), 1))


def risk_coverage(scores: Scores, truth: Places) -> dict[str, Any]:
    """How often the surest answers are right: at every twentieth of the faces, and the area under the errors' curve.

    aurc    mean over k = 1..n of the share of errors among the k surest answers (Geifman et al. 2019, arXiv 1805.08206)
    points  coverage (share of the faces, the surest), n, accuracy, and the lowest confidence among them
    Answers that are equally sure, of which an int8 network has many, count with the mean of all that are.
    """
    right, confidence = scores.argmax(axis=1) == truth, scores.max(axis=1)
    falling, place, counts = np.unique(-confidence, return_inverse=True, return_counts=True)
    shares = np.bincount(place, right) / counts
    n = len(truth)
    accuracy = np.cumsum(np.repeat(shares, counts)) / np.arange(1, n + 1)
    sure = np.repeat(-falling, counts)
    kept = {coverage / 20: ceil(n * coverage / 20) for coverage in range(1, 21)}
    points = [
        {"coverage": share, "n": k, "accuracy": float(accuracy[k - 1]), "confidence": float(sure[k - 1])}
        for share, k in kept.items()
    ]
    return {"aurc": float(1 - accuracy.mean()), "points": points}


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927); (0, 1) when there is nothing to count."""
    if n == 0:
        return 0.0, 1.0
    z, share = 1.96, hits / n
    centre = share + z**2 / (2 * n)
    spread = z * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return (centre - spread) / (1 + z**2 / n), (centre + spread) / (1 + z**2 / n)


def truth_among(labels: Sequence[str], faces: FaceSet, truth: Truth) -> Places:
    """(n,) the right answers as indices in `labels`; -1 where there is none, or one that `labels` lack."""
    index = [labels.index(name) if name in labels else -1 for name in HEADS[truth]]
    return np.array([*index, -1])[faces.truth(truth)]


def restricted(scores: Scores, labels: Sequence[str], wanted: Sequence[str]) -> Scores:
    """(n, wanted) the probabilities of these labels only, as if there were no others."""
    kept = scores[:, [labels.index(name) for name in wanted]]
    return np.asarray(kept / np.maximum(kept.sum(axis=1, keepdims=True), 1e-12))


def in_groups(scores: Scores, labels: Sequence[str]) -> Scores:
    """(n, 3) probabilities of GROUPS: the sums over their labels, as `edge.contract.grouped` makes them for a face."""
    return scores @ _group_of(labels)


def _group_of(labels: Sequence[str]) -> NDArray[np.float64]:
    return np.array([[GROUP_OF[label] == group for group in GROUPS] for label in labels], float)


def report(scores: Scores, faces: FaceSet, labels: Sequence[str], truth: Truth = "votes") -> dict[str, Any]:
    """All figures of (n, labels) probabilities for `faces`, judged by one kind of truth.

    Faces without a right answer, or with one that `labels` lack, are left out and counted. Beside the figures of all
    others stand those without copies of training faces, of each data set alone, and of the same answers seen as seven
    labels (without contempt, whose probability goes to the others, and without its faces) and as three groups.
    SourceError if no face is left.
    """
    places = truth_among(labels, faces, truth)
    known = places >= 0
    if not known.any():
        raise SourceError(f"{len(faces)} faces to judge, none with a truth ({truth}) among {', '.join(labels)}")
    left_out = _left_out(faces.truth(truth)[~known], HEADS[truth])
    scores, places, copied, source = scores[known], places[known], faces.copied[known], faces.source[known]
    return {
        "truth": truth,
        "left_out": left_out,
        **_figures(scores, places, labels),
        "confidence": float(scores.max(axis=1).mean()),
        "reliability": reliability(scores, places),
        "risk_coverage": risk_coverage(scores, places),
        "surest": _surest(scores, places),
        "without_copies": summary(scores[~copied], places[~copied], labels),
        "sources": {
            str(name): summary(scores[source == name], places[source == name], labels) for name in np.unique(source)
        },
        "views": {name: _figures(*view) for name, view in _views(scores, places, labels).items()},
    }


def _left_out(places: Places, names: Sequence[str]) -> dict[str, int]:
    """How many faces there are of each right answer; "none" for those without."""
    counts = {name: int((places == index).sum()) for index, name in enumerate(names)}
    counts["none"] = int((places < 0).sum())
    return {name: count for name, count in counts.items() if count}


def _views(scores: Scores, places: Places, labels: Sequence[str]) -> dict[str, tuple[Scores, Places, Sequence[str]]]:
    groups = in_groups(scores, labels), _group_of(labels).argmax(axis=1)[places], GROUPS
    if set(labels) != set(LABELS):
        return {"3 groups": groups}
    where = np.array([FER2013_LABELS.index(name) if name in FER2013_LABELS else -1 for name in labels])[places]
    seven = restricted(scores, labels, FER2013_LABELS)[where >= 0], where[where >= 0], FER2013_LABELS
    return {"7 labels": seven, "3 groups": groups}


def _surest(scores: Scores, places: Places) -> dict[str, Any]:
    points = risk_coverage(scores, places)["points"]
    found: dict[str, Any] = next(each for each in points if each["coverage"] == SURE_SHARE)
    return {**found, "interval_95": wilson(round(found["accuracy"] * found["n"]), found["n"])}


def summary(scores: Scores, truth: Places, labels: Sequence[str]) -> dict[str, Any]:
    """The figures that fit in a row of a table; all zeros without faces."""
    kept = ("n", "accuracy", "interval_95", "balanced_accuracy", "macro_f1")
    figures = _figures(scores, truth, labels)
    return {name: figures[name] for name in kept}


def _figures(scores: Scores, truth: Places, labels: Sequence[str]) -> dict[str, Any]:
    confusion = np.zeros((len(labels), len(labels)), int)
    np.add.at(confusion, (truth, scores.argmax(axis=1)), 1)
    per_label = {label: _label_figures(confusion, index) for index, label in enumerate(labels)}
    present = [figures for figures in per_label.values() if figures["n"]]
    hits, n = int(confusion.trace()), len(truth)
    return {
        "n": n,
        "accuracy": hits / max(n, 1),
        "interval_95": wilson(hits, n),
        "balanced_accuracy": _mean([each["recall"] for each in present]),
        "macro_f1": _mean([each["f1"] for each in present]),
        "expected_calibration_error": expected_calibration_error(scores, truth),
        "negative_log_likelihood": negative_log_likelihood(scores, truth) if n else 0.0,
        "labels": list(labels),
        "per_label": per_label,
        "confusion": confusion.tolist(),
    }


def _mean(values: "Iterable[float] | NDArray[Any]") -> float:
    """0 without values."""
    found = np.array(values, float)
    return float(found.mean()) if found.size else 0.0


def _label_figures(confusion: NDArray[np.int64], index: int) -> dict[str, Any]:
    """n faces of the label, of which `hits` were answered right; `named`: so many faces were given this answer."""
    hits, n, named = int(confusion[index, index]), int(confusion[index].sum()), int(confusion[:, index].sum())
    return {
        "n": n,
        "hits": hits,
        "named": named,
        "recall": hits / max(n, 1),
        "recall_interval_95": wilson(hits, n),
        "precision": hits / max(named, 1),
        "precision_interval_95": wilson(hits, named),
        "f1": 2 * hits / max(n + named, 1),
    }


def write(figures: dict[str, Any], stem: Path, title: str) -> None:
    """The same figures as `stem`.json, .md and .png (confusion, reliability, risk and coverage).

    Figures of `robustness.robustness`, if they are there as "robustness", become `stem`-robustness.png.
    """
    from train import plots

    stem.parent.mkdir(parents=True, exist_ok=True)
    beside(stem, "json").write_text(json.dumps(figures, indent=1) + "\n")
    beside(stem, "md").write_text(as_markdown(figures, title, beside(stem, "png").name))
    plots.draw_report(figures, beside(stem, "png"), title)
    if "robustness" in figures:
        plots.draw_robustness(figures["robustness"], stem.with_name(f"{stem.name}-robustness.png"), title)


def beside(stem: Path, suffix: str) -> Path:
    """`stem`.`suffix`; a point in the stem, as in a version, is no suffix."""
    return stem.with_name(f"{stem.name}.{suffix}")


def as_markdown(figures: dict[str, Any], title: str, picture: str = "") -> str:
    """A page with the headline figures and a row for each label."""
    from train import tables

    return tables.report_page(figures, title, picture)
