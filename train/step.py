"""One step of training: as Keras does it, or in PyTorch's own words where Keras runs on PyTorch."""

from collections.abc import Callable
from typing import Any

import keras

from train.mixing import Batch
from train.recipe import Recipe

Step = Callable[[Batch], float]
"""Learns from a batch; its loss."""


def chosen(model: Any, optimizer: Any, recipe: Recipe) -> Step:
    """The quicker step for this network on this backend. Both change the same weights, so either may go on."""
    if keras.backend.backend() == "torch" and recipe.precision != "mixed_float16":
        from train import native

        if native.knows(model):
            return native.step(model, optimizer, recipe)
    return in_keras(model)


def in_keras(model: Any) -> Step:
    """The step that every backend has, for a compiled network."""

    def step(batch: Batch) -> float:
        x, y, weights = batch
        return float(model.train_on_batch(x, y, sample_weight=weights, return_dict=True)["loss"])

    return step
