"""A network in the manner of VGG, after Khaireddin and Chen 2021 (arXiv 2105.03588), who report 73.28 % on FER2013.

Four stages of two 3 x 3 convolutions with batch normalization and a maximum, then one dense layer of 1,024 where the
paper has two of 4,096. A teacher, too large for a device.
48 pixels, grey: 9.42 M parameters, 473 M multiplications a face.
"""

from typing import Any

from keras import layers

from train.networks.plain import convolution

WIDTHS = (64, 128, 256, 512)
DENSE_WIDTH = 1024


def body(x: Any) -> Any:
    """Features (n, 1024)."""
    for width in WIDTHS:
        x = convolution(convolution(x, width), width)
        x = layers.MaxPooling2D()(x)
    return layers.Dense(DENSE_WIDTH, "relu", kernel_initializer="he_normal")(layers.Flatten()(x))
