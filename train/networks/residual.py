"""Our deployment network: plain 3 x 3 convolutions with residual blocks (He et al. 2015, arXiv 1512.03385).

Every operation is one that XNNPACK runs in int8, with no float island: convolution, addition, ReLU, mean, dense.
No depthwise layers: they train slowly on a CPU, and old runtimes run them slowly in int8. 48 pixels, grey:
0.86 M parameters, 82 M multiplications a face; nano: 0.09 M parameters, 19 M multiplications;
large: 1.95 M parameters, 160 M multiplications.
"""

from typing import Any

from keras import layers

from train.networks.plain import convolution

WIDTHS = (24, 48, 96, 160)
NANO_WIDTHS = (16, 32, 32, 40)
LARGE_WIDTHS = (32, 64, 128, 256)


def body(x: Any, widths: tuple[int, ...] = WIDTHS) -> Any:
    """Features (n, last width)."""
    x = convolution(x, widths[0])
    for width in widths[1:]:
        x = _block(convolution(x, width, stride=2), width)
    return layers.GlobalAveragePooling2D()(x)


def nano(x: Any) -> Any:
    """Features (n, 40): the same, narrow, for the smallest devices."""
    return body(x, NANO_WIDTHS)


def large(x: Any) -> Any:
    """Features (n, 256): the same, wide, to teach the others."""
    return body(x, LARGE_WIDTHS)


def _block(x: Any, width: int) -> Any:
    changed = convolution(convolution(x, width), width, activation=False)
    return layers.ReLU()(layers.Add()([x, changed]))
