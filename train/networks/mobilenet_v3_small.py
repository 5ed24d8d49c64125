"""MobileNetV3-small (Howard et al. 2019, arXiv 1905.02244) at three quarters of its width, from keras.applications.

Its hard-swish splits an int8 file into many parts, so it is slower on a device than its multiplications say. A grey
input is repeated to three channels. 96 pixels, grey: 0.59 M parameters, 8 M multiplications a face.
"""

from typing import Any

from keras import layers
from keras.applications import MobileNetV3Small

from train.networks.pretrained import application, coloured

WIDTH_SHARE = 0.75


def body(x: Any, weights: str = "") -> Any:
    """Features (n, 432)."""
    model = application(MobileNetV3Small, coloured(x), weights, alpha=WIDTH_SHARE, include_preprocessing=False)
    return layers.GlobalAveragePooling2D()(model.output)
