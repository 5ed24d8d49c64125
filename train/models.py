"""The networks that can be trained. Each takes (n, side, side, channels) floats and gives logits, one a label."""

from typing import Any

import keras
from keras import layers

from edge.contract import InputSpec


def plain(
    spec: InputSpec, labels: int, widths: tuple[int, ...] = (24, 48, 96, 160), dropout: float = 0.3
) -> keras.Model:
    """Plain 3 x 3 convolutions with ReLU, halved four times: all of it runs as one int8 partition in LiteRT.

    48 pixels, grey, default widths: 0.53 M parameters, 45 M multiplications a face.
    """
    inputs = layers.Input(spec.shape, name="face")
    x = _convolution(inputs, widths[0])
    for width in widths[1:]:
        x = _convolution(x, width, stride=2)
        x = _convolution(x, width)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(dropout)(x)
    return keras.Model(inputs, layers.Dense(labels, name="logits")(x), name="plain")


def _convolution(x: Any, width: int, stride: int = 1) -> Any:
    x = layers.Conv2D(width, 3, stride, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    return layers.ReLU()(layers.BatchNormalization()(x))
