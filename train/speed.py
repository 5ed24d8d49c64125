"""Is a network fast enough? Asked before it is trained, for its weights do not matter to that."""

import time
from typing import Any

import numpy as np

from edge import interpreter
from edge.errors import SettingsError
from train.fit import build
from train.networks import single
from train.recipe import Recipe

WARM_UP, COUNTED = 50, 500


def require(recipe: Recipe, images_a_second: float) -> float:
    """Images a second of the recipe's network on this machine; SettingsError if they are fewer than required."""
    found = measured(single(build(recipe), recipe.heads[0]))
    if found < images_a_second:
        raise SettingsError(
            f"network {recipe.network!r} at side {recipe.input.side}: {found:.0f} images a second on this machine: "
            f"expected {images_a_second:g}; choose a smaller one, or a smaller side"
        )
    return found


def measured(model: Any) -> float:
    """Images a second: float32, one thread, one image a call, median of 500 calls after 50 that do not count."""
    import tensorflow as tf

    network = interpreter.load(tf.lite.TFLiteConverter.from_keras_model(model).convert(), 1, "untrained network")
    place, shape = network.get_input_details()[0]["index"], model.input_shape[1:]
    took = []
    for _ in range(WARM_UP + COUNTED):
        network.set_tensor(place, np.zeros((1, *shape), np.float32))
        begun = time.perf_counter()
        network.invoke()
        took.append(time.perf_counter() - begun)
    return 1 / float(np.median(took[WARM_UP:]))
