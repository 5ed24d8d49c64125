"""Mini-Xception (Arriaga et al. 2017, arXiv 1710.07557), which reports 66 % on FER2013.

Depthwise separable convolutions with residual connections. Its last convolution, from 128 channels to the labels and
then averaged, is here the average and then a dense head.
64 pixels, grey: 0.05 M parameters, 10 M multiplications a face.
"""

from typing import Any

from keras import layers

FIRST_WIDTH = 8
WIDTHS = (16, 32, 64, 128)


def body(x: Any) -> Any:
    """Features (n, 128)."""
    for _ in range(2):
        x = layers.Conv2D(FIRST_WIDTH, 3, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    for width in WIDTHS:
        x = _block(x, width)
    return layers.GlobalAveragePooling2D()(x)


def _block(x: Any, width: int) -> Any:
    past = layers.Conv2D(width, 1, 2, padding="same", use_bias=False)(x)
    past = layers.BatchNormalization()(past)
    x = layers.ReLU()(_separable(x, width))
    x = layers.MaxPooling2D(3, 2, padding="same")(_separable(x, width))
    return layers.Add()([x, past])


def _separable(x: Any, width: int) -> Any:
    x = layers.SeparableConv2D(width, 3, padding="same", use_bias=False)(x)
    return layers.BatchNormalization()(x)
