"""MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381) at half its width, from keras.applications.

Depthwise layers: slow to train on a CPU, and slow in int8 on old runtimes. A grey input is repeated to three channels.
96 pixels, grey: 0.73 M parameters, 18 M multiplications a face.
"""

from typing import Any

from keras import layers
from keras.applications import MobileNetV2

from train.networks.pretrained import application, coloured

WIDTH_SHARE = 0.5


def body(x: Any, weights: str = "") -> Any:
    """Features (n, 1280)."""
    model = application(MobileNetV2, coloured(x), weights, alpha=WIDTH_SHARE)
    return layers.GlobalAveragePooling2D()(model.output)
