"""Valence and arousal of a face: what a head for them shall answer, and how well it does."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.contract import LABELS
from train.data import FaceSet

MEANS_01 = {
    "angry": (-0.43, 0.67),
    "disgust": (-0.60, 0.35),
    "fear": (-0.64, 0.60),
    "happy": (0.76, 0.48),
    "sad": (-0.63, 0.27),
    "surprise": (0.40, 0.56),
    "neutral": (0.0, 0.0),
    "contempt": (0.23, 0.66),
}
"""Valence (-1 to 1) and arousal (0 to 1) that an earlier program gave every face of a label. They tell nothing that the
label does not, so what is made from them is called derived."""

DERIVED_MEANS = np.array([(MEANS_01[label][0], 2 * MEANS_01[label][1] - 1) for label in LABELS], np.float32)
"""(8, 2) for each of LABELS: valence and arousal, both from -1 to 1. A neutral face so is the calmest of all."""


def aims(faces: FaceSet, source: Literal["labels", "derived"]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(n, 2) valence and arousal from -1 to 1, and (n,) 1 where both are known, else 0 (and the aims are 0).

    labels   what the data set's own people said; a face without is unknown
    derived  the means of the labels that were voted for; the data set's own valence and arousal are not looked at
    """
    if source == "derived":
        both, known = faces.votes @ DERIVED_MEANS, faces.votes.sum(axis=1) > 0
    else:
        both = np.stack([faces.valence, faces.arousal], axis=1)
        known = np.asarray(np.isfinite(both).all(axis=1))
    return np.where(known[:, None], both, 0).astype(np.float32), known.astype(np.float32)


def concordance(answers: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Concordance correlation coefficient of two (n,) arrays, -1 to 1 (CCC; Lin 1989, Biometrics 45).

    2 cov(x, y) / (var(x) + var(y) + (mean(x) - mean(y))²), with moments over n; 0 where neither varies.
    """
    x, y = answers.astype(np.float64), truth.astype(np.float64)
    spread = x.var() + y.var() + (x.mean() - y.mean()) ** 2
    return float(2 * ((x - x.mean()) * (y - y.mean())).mean() / spread) if spread > 0 else 0.0


def figures(answers: NDArray[np.float32], truth: NDArray[np.float32]) -> dict[str, float]:
    """CCC and root mean square error for each column of two (n, 2) arrays: valence, then arousal."""
    found = {}
    for column, name in enumerate(("valence", "arousal")):
        found[f"{name}_ccc"] = concordance(answers[:, column], truth[:, column])
        found[f"{name}_rmse"] = float(np.sqrt(((answers[:, column] - truth[:, column]) ** 2).mean()))
    return found
