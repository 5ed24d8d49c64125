"""The baseline of Khanzada, Bai and Celepcikay 2020 (arXiv 2004.11823), which reports 64 % on FER2013.

Four 3 x 3 convolutions of 32 with batch normalization, halved twice by a maximum, then a dense layer. The paper does
not say how wide that is; 1,024 here, as in programs written after it.
48 pixels, grey: 4.76 M parameters, 37 M multiplications a face.
"""

from typing import Any

from keras import layers

WIDTH = 32
DENSE_WIDTH = 1024


def body(x: Any) -> Any:
    """Features (n, 1024)."""
    for _ in range(2):
        x = _convolution(_convolution(x))
        x = layers.MaxPooling2D()(x)
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    return layers.Dense(DENSE_WIDTH, "relu")(x)


def _convolution(x: Any) -> Any:
    x = layers.Conv2D(WIDTH, 3, padding="same", activation="relu")(x)
    return layers.BatchNormalization()(x)
