"""Convolutions only, without a dense layer or an average: the head is a convolution over all that is left.

At 64 pixels 4 x 4 places are left; a 1 x 1 convolution narrows them and each head is a 4 x 4 convolution (Long et al.
2015, arXiv 1411.4038, on heads as convolutions), so a label has a weight of its own for each place of the face.
64 pixels, grey: 0.61 M parameters, 48 M multiplications a face.
"""

from typing import Any

from keras import layers

from train.networks.plain import convolution

WIDTHS = (16, 32, 64, 128, 128)
HEAD_WIDTH = 64


def body(x: Any) -> Any:
    """Features (n, side / 16, side / 16, 64)."""
    x = convolution(x, WIDTHS[0])
    for width in WIDTHS[1:]:
        x = convolution(x, width, stride=2)
        x = convolution(x, width)
    x = layers.Conv2D(HEAD_WIDTH, 1, use_bias=False, kernel_initializer="he_normal")(x)
    return layers.ReLU()(layers.BatchNormalization()(x))
