"""Labels that are probably wrong: by answers that did not learn from the face in question, and by people's votes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.contract import LABELS
from edge.errors import SourceError
from train.data import SIDE, FaceSet, Trained, voted
from train.findings import Finding

FOLDS = 5
"""Each face is judged by what was learned from the other four fifths."""

CELL, DIRECTIONS = 8, 8
"""Of the histograms of gradients: pixels along a cell's edge, and directions."""

DOUBTED, CERTAIN = 0.10, 0.50
"""A plain classifier's verdict counts where it gives the label so little and another so much. It is right on 44 % of
the FER2013 training faces only. It suspects 1,396 of them so, and of these the first choice of the FER+ votes differs
from the label in 63 % (of all faces: 35 %); cleanlab alone would suspect 40 % of all, at 54 %."""

WEIGHT = 25.0
"""Of all faces' losses against the squared coefficients, the same for a small data set as for a large one."""

Scores = NDArray[np.float64]


def suspected(faces: FaceSet, run: Path | None, seed: int = 0) -> list[Finding]:
    """Training faces with a label that seems wrong. The test split is not looked at, validation needs its labels.

    Faces that the network of `run` did not learn from are judged by it, the others by a plain classifier that is
    trained in FOLDS folds. Only a network is good enough to suggest that a face be left out.
    """
    training = np.flatnonzero((faces.split == "train") & (faces.label >= 0))
    learned = np.isin(faces.sha256[training], _manifest(run)) if run else np.ones(len(training), bool)
    strangers, others = _often_enough(faces, training[~learned]), _often_enough(faces, training[learned])
    found = list(_against_votes(faces, training))
    if run and len(strangers):
        found += _suspects(faces, strangers, _by_network(faces.where(strangers), run), network=True)
    if len(others):
        found += _suspects(faces, others, _by_features(faces.where(others), seed), network=False)
    return found


def _against_votes(faces: FaceSet, training: NDArray[np.int64]) -> Iterator[Finding]:
    """Faces whose label got no vote that counts, though most people agree on another."""
    mine = faces.votes[np.arange(len(faces)), faces.label]
    for row in training[voted(faces)[training] & (faces.majority[training] >= 0) & (mine[training] == 0)]:
        shares = {LABELS[each]: float(faces.votes[row, each]) for each in np.argsort(-faces.votes[row], kind="stable")}
        told = ", ".join(f"{label} {share:.0%}" for label, share in shares.items() if share > 0)
        yield Finding(
            int(row), "votes disagree", f"labelled {LABELS[faces.label[row]]}; votes: {told}", max(shares.values())
        )


def _manifest(run: Path) -> NDArray[np.str_]:
    """The sha256 of the faces that a run's network learned from."""
    if not (run / "manifest.txt").is_file():
        raise SourceError(f"{run}: no manifest.txt there: expected the folder of a run of `train fit`")
    return Trained.read(run / "manifest.txt").sha256


def _often_enough(faces: FaceSet, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows whose label has at least two faces in each fold; none if that leaves fewer than two labels."""
    counts = np.bincount(faces.label[rows], minlength=len(LABELS))
    kept = rows[counts[faces.label[rows]] >= 2 * FOLDS]
    return kept if len(np.unique(faces.label[kept])) > 1 else kept[:0]


def _suspects(faces: FaceSet, rows: NDArray[np.int64], scores: Scores, network: bool) -> Iterator[Finding]:
    """What confident learning finds (Northcutt et al. 2021, arXiv 1911.00068), by cleanlab.

    `scores` is (rows, len(LABELS)), each row sums to 1.
    """
    from cleanlab.filter import find_label_issues

    present, given = np.unique(faces.label[rows], return_inverse=True)
    among = scores[:, present] / scores[:, present].sum(axis=1, keepdims=True)
    for each in find_label_issues(given, among, filter_by="both", return_indices_ranked_by="self_confidence", n_jobs=1):
        own, best = float(among[each, given[each]]), int(among[each].argmax())
        if network or (own <= DOUBTED and among[each, best] >= CERTAIN):
            says = f"{'a trained network' if network else 'a plain classifier'} says {LABELS[present[best]]}"
            detail = f"labelled {LABELS[present[given[each]]]} ({own:.0%}); {says} ({among[each, best]:.0%})"
            yield Finding(int(rows[each]), "suspected label", detail, 1 - own, network)


def _by_network(faces: FaceSet, run: Path) -> Scores:
    """(n, len(LABELS)) probabilities by the best network of a run: its head for labels if it has one."""
    from train.checkpoint import recipe_of, saved
    from train.fit import predict
    from train.metrics import probabilities

    answers = predict(saved(run), faces, recipe_of(run).input)
    scores = probabilities(answers["label" if "label" in answers else "votes"])
    return np.pad(scores, ((0, 0), (0, len(LABELS) - scores.shape[1])), constant_values=1e-6)


def _by_features(faces: FaceSet, seed: int) -> Scores:
    """(n, len(LABELS)) probabilities, each by a logistic regression that saw no picture of the same subject."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, scores = gradients(faces.pixels), np.zeros((len(faces), len(LABELS)))
    groups = np.where(faces.subject != "", np.char.add(faces.source, np.char.add("/", faces.subject)), faces.sha256)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for learned, judged in folds.split(features, faces.label, groups):
        fit = LogisticRegression(C=WEIGHT / len(learned), max_iter=60, tol=1e-2)
        model = make_pipeline(StandardScaler(), fit)
        model.fit(features[learned], faces.label[learned])
        scores[np.ix_(judged, model.classes_)] = model.predict_proba(features[judged])
    return scores


def gradients(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, 800) histograms of oriented gradients of (n, 48, 48) faces (Dalal and Triggs 2005)."""
    return np.concatenate([_histograms(pixels[start : start + 256]) for start in range(0, len(pixels), 256)])


def _histograms(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Cells of CELL pixels, in blocks of two by two that have length 1 each."""
    dy, dx = np.gradient(pixels.astype(np.float32), axis=(1, 2))
    direction = np.arctan2(dy, dx) % np.pi / np.pi * DIRECTIONS
    lower, length = np.floor(direction), np.hypot(dx, dy)
    upper_share, n, cells = direction - lower, len(pixels), SIDE // CELL
    sums = [
        (
            length
            * (
                np.where(lower % DIRECTIONS == each, 1 - upper_share, 0)
                + np.where((lower + 1) % DIRECTIONS == each, upper_share, 0)
            )
        )
        .reshape(n, cells, CELL, cells, CELL)
        .sum(axis=(2, 4))
        for each in range(DIRECTIONS)
    ]
    cell = np.stack(sums, axis=-1)
    blocks = np.concatenate([cell[:, :-1, :-1], cell[:, 1:, :-1], cell[:, :-1, 1:], cell[:, 1:, 1:]], axis=-1)
    blocks /= np.linalg.norm(blocks, axis=-1, keepdims=True) + 1
    return np.asarray(blocks.reshape(n, -1), np.float32)
