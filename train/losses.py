"""What training makes small: a loss for each head."""

from typing import Any

import keras
from keras import ops

from train.networks import VALENCE_AROUSAL
from train.recipe import Recipe

TINY = 1e-8


class Discordance(keras.losses.Loss):  # type: ignore[misc]  # Keras has no types
    """1 - the concordance correlation coefficient over a batch, mean of valence and arousal (0 to 2).

    CCC = 2 cov(x, y) / (var(x) + var(y) + (mean(x) - mean(y))²), Lin 1989, Biometrics 45; used as a loss by Trigeorgis
    et al. 2016 (doi 10.1109/ICASSP.2016.7472669). Each face counts by its weight in means, variances and covariance,
    so a face of weight 0 changes nothing; a batch without a known face costs 0. It cannot be summed face by face,
    hence it takes the weights itself.
    """

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        x, y = ops.cast(y_pred, "float32"), ops.cast(y_true, "float32")
        given = ops.ones_like(x[:, 0]) if sample_weight is None else ops.cast(sample_weight, "float32")
        weights = ops.reshape(given, (-1, 1))
        total = ops.sum(weights)
        weights = weights / ops.maximum(total, TINY)
        mean_x, mean_y = ops.sum(weights * x, axis=0), ops.sum(weights * y, axis=0)
        off_x, off_y = x - mean_x, y - mean_y
        covariance = ops.sum(weights * off_x * off_y, axis=0)
        spread = ops.sum(weights * (off_x**2 + off_y**2), axis=0) + (mean_x - mean_y) ** 2
        loss = ops.mean(1 - 2 * covariance / (spread + TINY))
        return ops.where(total > 0, loss, ops.zeros_like(loss))


def losses(recipe: Recipe) -> tuple[dict[str, keras.losses.Loss], dict[str, float]]:
    """For each head its loss, and how much that counts."""
    found: dict[str, keras.losses.Loss] = {head: _cross_entropy(recipe) for head in recipe.heads}
    shares = dict.fromkeys(found, 1.0)
    if recipe.valence != "none":
        found[VALENCE_AROUSAL], shares[VALENCE_AROUSAL] = Discordance(), recipe.valence_share
    return found, shares


def _cross_entropy(recipe: Recipe) -> keras.losses.Loss:
    smooth = recipe.label_smoothing
    if recipe.balance.focal:
        return keras.losses.CategoricalFocalCrossentropy(
            alpha=1.0, gamma=recipe.balance.focal, from_logits=True, label_smoothing=smooth
        )
    return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smooth)


def optimizer(recipe: Recipe) -> keras.optimizers.Optimizer:
    """AdamW, or SGD with Nesterov's momentum; for float16 the loss is scaled, so that small gradients are not lost."""
    options = {"weight_decay": recipe.weight_decay, "global_clipnorm": recipe.clip_norm or None}
    if recipe.optimizer == "sgd":
        made = keras.optimizers.SGD(recipe.peak_rate, 0.9, nesterov=True, **options)
    else:
        made = keras.optimizers.AdamW(recipe.peak_rate, **options)
    return keras.optimizers.LossScaleOptimizer(made) if recipe.precision == "mixed_float16" else made
