"""What the networks of keras.applications have in common: weights from elsewhere, and the inputs that these expect."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from keras import layers

from edge.errors import SettingsError

IMAGENET_MEAN_RGB = (123.68, 116.779, 103.939)
"""What the ImageNet networks that were trained with Caffe (ResNet50, VGG19) had subtracted from their pixels."""
FIRST_MOMENTUM = 0.99


def coloured(x: Any) -> Any:
    """Three channels from one, all the same; three stay as they are."""
    return x if x.shape[-1] == 3 else layers.Concatenate(name="coloured")([x, x, x])


def centred(x: Any, mean: tuple[float, float, float] = IMAGENET_MEAN_RGB) -> Any:
    """From RGB between -1 and 1 to pixel values (0 to 255) minus a mean."""
    return layers.Rescaling(127.5, [127.5 - each for each in mean], name="centred")(coloured(x))


def application(make: Callable[..., Any], x: Any, weights: str, **options: Any) -> Any:
    """A network of keras.applications without its head, behind `x`.

    SettingsError in one line when its weights cannot be fetched or do not fit. Without weights its batch normalization
    learns its averages faster: ImageNet's momentum of 0.999 takes thousands of steps.
    """
    model = _loaded(make, x, weights, options)
    for layer in model.layers:
        if not weights and isinstance(layer, layers.BatchNormalization):
            layer.momentum = min(layer.momentum, FIRST_MOMENTUM)
    return model


def _loaded(make: Callable[..., Any], x: Any, weights: str, options: dict[str, Any]) -> Any:
    if weights not in ("", "imagenet") and not Path(weights).is_file():
        raise SettingsError(f"weights {weights!r}: no such file: expected 'imagenet' or a file of Keras weights")
    try:
        return make(include_top=False, weights=weights or None, input_tensor=x, **options)
    except Exception as error:  # Keras raises a plain one where it cannot fetch
        if not weights:
            raise
        reason = str(error).strip().split("\n")[0][:200]
        raise SettingsError(
            f"weights {weights!r}: cannot be loaded into {make.__name__} ({reason}): "
            "expected its weights without the head, from a file or, for 'imagenet', over the network"
        ) from error


def turn_first(model: Any, name: str) -> None:
    """Turn the kernel of the first convolution, which was trained on BGR, for RGB."""
    first = model.get_layer(name)
    kernel, bias = first.get_weights()
    first.set_weights([np.ascontiguousarray(kernel[:, :, ::-1, :]), bias])
