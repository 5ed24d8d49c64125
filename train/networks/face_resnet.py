"""The trunk of dlib's face recognition, a ResNet (arXiv 1512.03385) that has seen three million faces, for expressions.

Weights: `dlib_face_recognition_resnet_model_v1.dat` (Davis King 2017, CC0), which the package face_recognition_models
on PyPI carries; or best.keras of a run with the same or the larger of these networks. dlib's reads 150 pixels on a
side, these half as many: their first kernel is the old one for a picture that is made twice as wide. Affine layers are
folded into convolutions; there is no batch normalization. Convolution, maximum, mean, addition and ReLU: XNNPACK runs
all of it in int8. 48 pixels, grey: 4.44 M parameters, 133 M multiplications a face; small, to be deployed: 0.86 M
parameters, 93 M multiplications.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from edge.errors import SettingsError

LEVELS = ((32, 3), (64, 4), (128, 3), (256, 3))
"""Channels, and how many blocks; the first block of each level but the first halves the picture."""
SMALL_LEVELS = ((32, 3), (64, 4), (128, 2))

MEAN_RGB = np.array([122.782, 117.001, 104.298], np.float32)
SPREAD = 256.0
"""dlib's input is (pixel - mean) / spread."""

TENSOR = re.compile(rb"(?:con_\d|affine_)\x01\x02")
"""The name of a layer with weights, and the version of the tensor behind it: four dimensions, then float32."""

Floats = NDArray[np.float32]


def body(x: Any, weights: str = "") -> Any:
    """Features (n, 256)."""
    return _trunk(x, weights, LEVELS)


def small(x: Any, weights: str = "") -> Any:
    """Features (n, 128)."""
    return _trunk(x, weights, SMALL_LEVELS)


def _trunk(inputs: Any, weights: str, levels: tuple[tuple[int, int], ...]) -> Any:
    x = layers.ReLU()(_convolution(inputs, "first", levels[0][0], 5))
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    for level, (width, blocks) in enumerate(levels):
        for block in range(blocks):
            x = _block(x, f"level{level}_block{block}", width, stride=2 if level and not block else 1)
    _fill(keras.Model(inputs, x), weights)
    return layers.GlobalAveragePooling2D()(x)


def _block(x: Any, name: str, width: int, stride: int) -> Any:
    changed = layers.ReLU()(_convolution(x, f"{name}_1", width, 3, stride))
    changed = _convolution(changed, f"{name}_2", width, 3)
    if stride > 1:
        x = layers.AveragePooling2D(stride)(x)
        x = layers.Conv2D(width, 1, use_bias=False, name=f"{name}_wider")(x)  # with zeros, at first: see _fill
    return layers.ReLU()(layers.Add()([x, changed]))


def _convolution(x: Any, name: str, width: int, side: int, stride: int = 1) -> Any:
    return layers.Conv2D(width, side, stride, padding="same", kernel_initializer="he_normal", name=name)(x)


def _fill(model: Any, path: str) -> None:
    convolutions = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)]
    for layer in convolutions:
        if not layer.use_bias:
            layer.set_weights([np.eye(*layer.kernel.shape[2:], dtype=np.float32)[None, None]])
    try:
        if path.endswith(".keras"):
            _take(convolutions, path)
        elif path:
            _read([layer for layer in convolutions if layer.use_bias], path)
    except (OSError, ValueError, IndexError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise SettingsError(
            f"weights {path!r}: {reason}: expected best.keras of a run with face-resnet, or "
            "dlib_face_recognition_resnet_model_v1.dat"
        ) from error


def _take(convolutions: list[Any], path: str) -> None:
    """From a larger one of these networks, trained: its first levels."""
    theirs = keras.models.load_model(path, compile=False)
    for layer in convolutions:
        layer.set_weights(theirs.get_layer(layer.name).get_weights())


def _read(convolutions: list[Any], path: str) -> None:
    """From dlib's file: its first convolutions, each with the affine layer behind it."""
    tensors = list(_tensors(Path(path).read_bytes()))
    if len(tensors) < 2 * len(convolutions):
        raise ValueError(f"{len(tensors) // 2} convolutions: expected {len(convolutions)} or more")
    for layer, filters, affine in zip(convolutions, tensors[::2], tensors[1::2], strict=False):
        if layer.name == "first":
            layer.set_weights(_looking(*_folded(filters, affine, side=7), layer.kernel.shape[2]))
        else:
            layer.set_weights(_folded(filters, affine, side=3))


def _tensors(stored: bytes) -> Iterator[Floats]:
    for found in TENSOR.finditer(stored):
        count, place = 1, found.end()
        for _ in range(4):
            size = stored[place]
            count *= int.from_bytes(stored[place + 1 : place + 1 + size], "little")
            place += 1 + size
        yield np.frombuffer(stored, "<f4", count, place)


def _folded(filters: Floats, affine: Floats, side: int) -> tuple[Floats, Floats]:
    gamma, beta = np.split(affine, 2)
    kernel, bias = filters[: -len(gamma)].reshape(len(gamma), -1, side, side), filters[-len(gamma) :]
    return kernel.transpose(2, 3, 1, 0) * gamma, bias * gamma + beta


def _looking(kernel: Floats, bias: Floats, channels: int) -> list[Floats]:
    """The first convolution for inputs between -1 and 1, of one channel or three, half as wide."""
    bias = bias + np.einsum("hwcf,c->f", kernel, (127.5 - MEAN_RGB) / SPREAD)
    kernel = np.einsum("hwcf,hi,wj->ijcf", kernel, *2 * [_widening()]) * (127.5 / SPREAD)
    return [kernel if channels == 3 else kernel.sum(axis=2, keepdims=True), bias]


def _widening() -> Floats:
    """(7, 5): what seven pixels around one of a picture twice as wide (bilinear) are made of, of the five around it."""
    made = np.zeros((7, 5), np.float32)
    for place in range(7):
        left, odd = divmod(place - 3, 2)
        made[place, left + 1 + odd : left + 3 + odd] = (0.75, 0.25) if odd else (0.25, 0.75)
    return made
