"""ResNet50 (He et al. 2015, arXiv 1512.03385) from keras.applications; a teacher, to be unfrozen in stages.

Weights: ImageNet's, fetched or from a file that Keras wrote; or those of VGGFace2 (Cao et al. 2018, arXiv 1710.08092)
in the file of the package keras-vggface, `rcmalli_vggface_tf_notop_resnet50.h5`, whose layers have other names and no
biases. Pixels are centred as the weights expect inside the network, and the first kernel is turned from BGR to RGB.
96 pixels, grey: 23.62 M parameters, 708 M multiplications a face.
"""

import re
from typing import Any

import h5py
import numpy as np
from keras import layers
from keras.applications import ResNet50
from numpy.typing import NDArray

from edge.errors import SettingsError
from train.networks.pretrained import application, centred, turn_first

VGGFACE_MEAN_RGB = (131.0912, 103.8827, 91.4953)
VGGFACE_EPSILON = 1e-3
"""Of the batch normalization there."""
VGGFACE_PARTS = {"1x1_reduce": "1", "3x3": "2", "1x1_increase": "3", "1x1_proj": "0"}
"""What a block's convolutions are called there, and here."""


def body(x: Any, weights: str = "") -> Any:
    """Features (n, 2048)."""
    vggface = _vggface(weights)
    if vggface:
        model = application(ResNet50, centred(x, VGGFACE_MEAN_RGB), "")
        _fill(model, vggface, weights)
    else:
        model = application(ResNet50, centred(x), weights)
    if weights:
        turn_first(model, "conv1_conv")
    return layers.GlobalAveragePooling2D()(model.output)


def _vggface(path: str) -> dict[str, list[NDArray[np.float32]]]:
    """By the names that Keras gives them, the weights of each layer of a keras-vggface file; {} for any other file."""
    if not path.endswith(".h5") or not h5py.is_hdf5(path):
        return {}
    with h5py.File(path) as file:
        stored = [each.decode() if isinstance(each, bytes) else each for each in file.attrs.get("layer_names", [])]
        if "conv1/7x7_s2" not in stored:
            return {}
        return {ours: _arrays(file[theirs]) for theirs in stored if (ours := _renamed(theirs))}


def _arrays(group: Any) -> list[NDArray[np.float32]]:
    return [np.asarray(group[name], np.float32) for name in group.attrs["weight_names"]]


def _renamed(layer: str) -> str:
    """`conv3_1_1x1_reduce/bn` is `conv3_block1_1_bn`; "" for a layer without weights."""
    kind = "bn" if layer.endswith("/bn") else "conv"
    if layer.startswith("conv1/7x7_s2"):
        return f"conv1_{kind}"
    match = re.fullmatch(r"conv(\d)_(\d)_(1x1_reduce|3x3|1x1_increase|1x1_proj)(/bn)?", layer)
    return f"conv{match[1]}_block{match[2]}_{VGGFACE_PARTS[match[3]]}_{kind}" if match else ""


def _fill(model: Any, arrays: dict[str, list[NDArray[np.float32]]], path: str) -> None:
    for layer in model.layers:
        if layer.weights:
            if layer.name not in arrays:
                raise SettingsError(
                    f"weights {path!r}: no layer for {layer.name}: expected a whole ResNet50; fetch it again"
                )
            layer.set_weights(_fitted(layer, arrays[layer.name]))


def _fitted(layer: Any, given: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """A convolution gets a bias of 0; batch normalization a variance that makes up for its other epsilon."""
    if isinstance(layer, layers.BatchNormalization):
        gamma, beta, mean, variance = given
        return [gamma, beta, mean, variance + np.float32(VGGFACE_EPSILON - layer.epsilon)]
    return [given[0], np.zeros(given[0].shape[-1], np.float32)]
