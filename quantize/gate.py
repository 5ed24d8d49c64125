"""The gate: what a variant of a network may lose against float32, and which of those that pass is promoted."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from train.metrics import expected_calibration_error

CHANCE = 1.64
"""Of a label whose answers changed for `flips` faces, right to wrong or wrong to right, so many square roots of `flips`
faces may be lost by chance alone (McNemar 1947, one-sided 5 %)."""
CARD_ROOM_BYTES = 4000
"""By so much the card may still grow, when what is measured later is written into it."""


@dataclass(frozen=True)
class Limits:
    """What a variant must keep, on the validation faces; shares, not percent.

    accuracy           at least; the goal
    accuracy_loss      at most, against float32; or what chance explains, which is less from about 1,000 faces on
    macro_f1_loss      at most. Two points, because the macro F1 of eight labels, two of them with 13 and 24 faces,
                       moves by 0.75 points (standard deviation) when one face in a hundred changes its label
    recall_loss        of any label, at most; or what chance explains, see `Label.allowed`
    agreement          same label as float32 on so many faces
    calibration_error  ECE at the variant's own temperature, at most; or what chance explains, see `chance_error`
    clipped            so many faces may have a logit that the variant's int8 range cannot hold, at most. Stratified
                       calibration gives 2 %, calibration on neutral faces alone 18 %, on noise 61 %
    size_bytes         of the file with its card, at most
    """

    accuracy: float = 0.4
    accuracy_loss: float = 0.005
    macro_f1_loss: float = 0.02
    recall_loss: float = 0.02
    agreement: float = 0.97
    calibration_error: float = 0.03
    clipped: float = 0.1
    size_bytes: int = 1_000_000


@dataclass(frozen=True)
class Label:
    """The validation faces of one label, or all of them.

    n            how many
    float_hits   so many are right by float32
    hits         so many are right by this variant
    flips        so many are right by one of the two only
    """

    n: int
    float_hits: int
    hits: int
    flips: int

    @property
    def lost(self) -> int:
        """How many fewer are right than by float32."""
        return self.float_hits - self.hits

    def allowed(self, share: float) -> float:
        """So many may be lost: `share` of all, or, where that is less, what chance explains.

        Two points of 24 faces are half a face: less than what can be seen. One face, of one that flipped, always
        passes; so do two of two, but not three of three.
        """
        return max(share * self.n, CHANCE * sqrt(self.flips))


@dataclass(frozen=True)
class Figures:
    """A variant on the validation faces, through the classifier that the device runs; shares, not percent."""

    size_bytes: int
    invoke_ms: float
    accuracy: float
    macro_f1: float
    agreement: float
    temperature: float
    calibration_error: float
    chance_error: float
    """A network whose confidences are all true would have a calibration error up to this, see `chance_error`."""
    largest_logit_difference: float
    clipped: float
    not_int8: tuple[str, ...]
    """Operations that are not integer all through; only looked for in "int8"."""
    labels: Mapping[str, Label]

    @property
    def together(self) -> Label:
        """The faces of all labels."""
        counts = [(each.n, each.float_hits, each.hits, each.flips) for each in self.labels.values()]
        return Label(*(sum(each) for each in zip(*counts, strict=True)))

    def worst(self) -> tuple[str, Label]:
        """The label that loses the greatest share of its faces against float32."""
        present = {name: each for name, each in self.labels.items() if each.n}
        return max(present.items(), key=lambda each: each[1].lost / each[1].n)


def labels_of(
    answers: NDArray[np.int64], by_float: NDArray[np.int64], truth: NDArray[np.int64], names: tuple[str, ...]
) -> dict[str, Label]:
    """The faces of each label held against float32's answers; all three (n,) are indices in `names`."""
    right, float_right = answers == truth, by_float == truth
    return {
        name: Label(
            n=int((truth == index).sum()),
            float_hits=int(float_right[truth == index].sum()),
            hits=int(right[truth == index].sum()),
            flips=int((right != float_right)[truth == index].sum()),
        )
        for index, name in enumerate(names)
    }


def chance_error(scores: NDArray[np.float64], draws: int = 200, seed: int = 8) -> float:
    """The calibration error below which a network stays in 19 of 20 draws if all its confidences are true.

    Truths are drawn by `scores`, (n, labels) probabilities (consistency resampling, Broecker and Smith 2007): the
    calibration error adds up what the bins differ by, and in small bins chance alone makes them differ. With 3,000
    faces that is about 2 %, with 150 about 8 %.
    """
    rng, steps = np.random.default_rng(seed), scores.cumsum(axis=1)
    truths = ((rng.random((len(scores), 1)) > steps[:, :-1]).sum(axis=1) for _ in range(draws))
    return float(np.quantile([expected_calibration_error(scores, truth) for truth in truths], 0.95))


def clipped_share(float_logits: NDArray[np.float32], lowest: float, highest: float) -> float:
    """Share of the faces with a float logit outside of what the int8 output can hold, by more than half a step."""
    half = (highest - lowest) / 255 / 2
    outside = (float_logits < lowest - half) | (float_logits > highest + half)
    return float(outside.any(axis=1).mean())


def failures(variant: Figures, by_float: Figures, limits: Limits) -> list[str]:
    """Why this variant must not ship, each with what was found and the limit; empty when it may."""
    together, lost_f1 = variant.together, by_float.macro_f1 - variant.macro_f1
    allowed, error = together.allowed(limits.accuracy_loss), max(limits.calibration_error, variant.chance_error)
    checks = {
        f"right on {variant.accuracy:.2%}: at least {limits.accuracy:.2%}": variant.accuracy >= limits.accuracy,
        f"loses {together.lost / together.n:.2%} accuracy: at most {allowed / together.n:.2%}": together.lost
        <= allowed,
        f"loses {lost_f1:.3f} macro F1: at most {limits.macro_f1_loss:.3f}": lost_f1 <= limits.macro_f1_loss,
        f"same label on {variant.agreement:.2%}: at least {limits.agreement:.2%}": variant.agreement
        >= limits.agreement,
        f"calibration error {variant.calibration_error:.2%}: at most {error:.2%}": variant.calibration_error <= error,
        f"{variant.clipped:.1%} of the faces have an answer outside the int8 range: at most {limits.clipped:.1%}; "
        "the calibration faces do not stand for the others": variant.clipped <= limits.clipped,
        f"{variant.size_bytes} bytes: at most {limits.size_bytes}, less {CARD_ROOM_BYTES} for the card": (
            variant.size_bytes <= limits.size_bytes - CARD_ROOM_BYTES
        ),
        f"operations that are not int8: {'; '.join(variant.not_int8)}": not variant.not_int8,
    }
    return [text for text, passed in checks.items() if not passed] + _label_failures(variant, limits)


def _label_failures(variant: Figures, limits: Limits) -> list[str]:
    return [
        f"{name}: right on {each.hits} of {each.n}, float32 on {each.float_hits}: "
        f"at most {each.allowed(limits.recall_loss):.1f} fewer"
        for name, each in variant.labels.items()
        if each.lost > each.allowed(limits.recall_loss)
    ]


def decided(figures: Mapping[str, Figures], wanted: str, limits: Limits) -> tuple[str | None, list[str]]:
    """(the variant to promote, the reasons against others): the `wanted` one, or for "auto" the fastest that passes."""
    tried = list(figures) if wanted == "auto" else [wanted]
    against = {name: failures(figures[name], figures["float32"], limits) for name in tried}
    passed = [name for name in tried if not against[name]]
    reasons = [f"{name}: {reason}" for name in tried for reason in against[name]]
    return min(passed, key=lambda name: figures[name].invoke_ms, default=None), reasons
