"""VGG19 (Simonyan and Zisserman 2014, arXiv 1409.1556) from keras.applications; a teacher, to be unfrozen in stages.

Weights: ImageNet's, fetched or from a file that Keras wrote. Pixels are centred as for ImageNet inside the network,
and its first kernel is turned from BGR to RGB. 96 pixels, grey: 20.03 M parameters, 3583 M multiplications a face.
"""

from typing import Any

from keras import layers
from keras.applications import VGG19

from train.networks.pretrained import application, centred, turn_first


def body(x: Any, weights: str = "") -> Any:
    """Features (n, 512)."""
    model = application(VGG19, centred(x), weights)
    if weights:
        turn_first(model, "block1_conv1")
    return layers.GlobalAveragePooling2D()(model.output)
