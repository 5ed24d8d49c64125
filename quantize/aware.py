"""Fine-tuning for int8 (quantization-aware): the network feels the rounding while it is trained, and learns to bear it.

Keras 3.15 cannot do it (`Model.quantize` rounds weights of dense layers, after training), and
tensorflow-model-optimization refuses Keras 3 models. So the network is cloned with layers that round: weights per
output channel, activations to the range of the calibration faces, both to 8 bits, straight through for the gradient
(Jacob et al. 2018, arXiv 1712.05877). Rounding weights before batch normalization is rounding them after it, since both
scale by channel. The clone learns to answer as the float network does, on training faces and their mirror images; no
labels are needed. Its weights, put back into the plain network, are then converted as always.
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

PEAK_RATE = 1e-4
BATCH = 128
LEVELS = 255
"""Steps of int8."""

ROUNDED: tuple[Any, ...] = (
    layers.ReLU,
    layers.Add,
    layers.GlobalAveragePooling2D,
    layers.BatchNormalization,
    layers.Dense,
)
"""Layers whose outputs are rounded, unless a ReLU follows, into which the converter folds them."""


def tuned(
    model: keras.Model, calibration: NDArray[np.float32], training: NDArray[np.float32], epochs: int, seed: int = 8
) -> keras.Model:
    """A copy of the one-headed `model` with weights that bear int8; both arrays are (n, side, side, channels) inputs.

    Statistics of batch normalization stay as they are.
    """
    ranges = activation_ranges(model, calibration)
    rounding = keras.models.clone_model(model, clone_function=lambda layer: _rounding(layer, ranges))
    rounding.set_weights(model.get_weights())
    faces = np.concatenate([training, training[:, :, ::-1]])
    keras.utils.set_random_seed(seed)
    steps = epochs * int(np.ceil(len(faces) / BATCH))
    rounding.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(PEAK_RATE, steps)),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
    )
    answers = ops.convert_to_numpy(ops.softmax(model.predict(faces, batch_size=BATCH, verbose=0)))
    rounding.fit(faces, answers, batch_size=BATCH, epochs=epochs, verbose=0)
    better = keras.models.clone_model(model)
    better.set_weights(rounding.get_weights())
    return better


def activation_ranges(model: keras.Model, faces: NDArray[np.float32]) -> dict[str, tuple[float, float]]:
    """Lowest and highest output, zero included, of each layer that int8 rounds, by its name."""
    rounded = [layer for layer in model.layers if isinstance(layer, ROUNDED) and not _feeds_relu(layer)]
    outputs = keras.Model(model.input, [layer.output for layer in rounded]).predict(faces, batch_size=BATCH, verbose=0)
    found = zip(rounded, outputs if len(rounded) > 1 else [outputs], strict=True)
    return {layer.name: (min(float(each.min()), 0.0), max(float(each.max()), 0.0)) for layer, each in found}


def _feeds_relu(layer: Any) -> bool:
    return any(isinstance(node.operation, layers.ReLU) for node in layer._outbound_nodes)


def _rounding(layer: Any, ranges: dict[str, tuple[float, float]]) -> Any:
    """A layer like this one, with new weights, that rounds as int8 does."""
    kind: Any = {layers.Conv2D: RoundingConv2D, layers.Dense: RoundingDense}.get(type(layer), type(layer))
    copy = kind.from_config(layer.get_config())
    if isinstance(layer, layers.BatchNormalization):
        copy.trainable = False
    if layer.name in ranges:
        inner, (low, high) = copy.call, ranges[layer.name]
        copy.call = lambda *given, **named: rounded(inner(*given, **named), low, high)
    return copy


class RoundingConv2D(layers.Conv2D):  # type: ignore[misc]
    """A convolution whose weights are rounded."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Keras's own, with the kernel rounded."""
        return super().convolution_op(inputs, rounded_by_channel(kernel))


class RoundingDense(layers.Dense):  # type: ignore[misc]
    """A dense layer whose weights are rounded."""

    def call(self, inputs: Any, training: Any = None) -> Any:
        """Keras's own, with the kernel rounded."""
        return ops.add(ops.matmul(inputs, rounded_by_channel(self.kernel)), self.bias)


def rounded(values: Any, low: float, high: float) -> Any:
    """To one of 256 steps from `low` to `high`; gradients pass where a value lies between."""
    step = max(high - low, 1e-9) / LEVELS
    inside = ops.clip(values, low, high)
    return inside + ops.stop_gradient(ops.round((inside - low) / step) * step + low - inside)


def rounded_by_channel(kernel: Any) -> Any:
    """Weights to -127..127 steps, each output channel (the last axis) with a step of its own; gradients pass."""
    step = ops.max(ops.abs(kernel), axis=tuple(range(len(kernel.shape) - 1)), keepdims=True) / 127
    step = ops.stop_gradient(ops.maximum(step, 1e-9))
    return kernel + ops.stop_gradient(ops.round(kernel / step) * step - kernel)
