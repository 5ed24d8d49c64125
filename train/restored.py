"""The weights of a `.tflite` file, to go on learning from: what ships can be taught its owner's faces."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edge.errors import SettingsError
from train.data import HEADS
from train.models import opened

Floats = NDArray[np.float32]

LEARNED = (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.FULLY_CONNECTED)
"""The operations whose weights are read."""


def take_over(model: Any, file: Path, faces: Floats) -> None:
    """Give a new network the weights of a file; heads that the file has not stay new.

    A file has its batch normalization folded into the convolutions. It is unfolded by what the convolutions say of
    `faces` (n, side, side, channels): the network answers as the file does, and learns as one that was never folded.
    SettingsError if it is another network.
    """
    asked = opened(file)
    head = asked.heads[0]
    folded, found = _folded(model), [*_weights(file.read_bytes())]
    layers = [*folded, *([model.get_layer(head)] if head in model.output else [])]
    if not folded or [tuple(layer.kernel.shape) for layer in layers] != [kernel.shape for kernel, _ in found]:
        raise SettingsError(
            f"{file}: not this network with the head {head!r}, or one that is not convolutions with batch "
            "normalization: give --set the network and input.side that its card names, or another file"
        )
    *inner, (kernel, bias) = found
    order = [asked.labels.index(label) for label in HEADS[head]]
    layers[-1].set_weights([kernel[:, order], bias[order]])
    _fill(model, folded, inner, faces)


def _folded(model: Any) -> dict[Any, Any]:
    """Each convolution, in order, and the batch normalization that reads it; empty if any other layer but a head
    learns something."""
    kinds = {layer: type(layer).__name__ for layer in model.layers if layer.weights and layer.name not in model.output}
    readers = {id(layer.input): layer for layer, kind in kinds.items() if kind == "BatchNormalization"}
    found = {layer: readers.get(id(layer.output)) for layer, kind in kinds.items() if kind == "Conv2D"}
    whole = len(found) + len(readers) == len(kinds) and None not in found.values()
    return found if whole and not any(layer.use_bias for layer in found) else {}


def _fill(model: Any, folded: dict[Any, Any], found: list[tuple[Floats, Floats]], faces: Floats) -> None:
    """First as the file has it, which shows what the convolutions say; by that it is unfolded."""
    for (layer, reader), (kernel, bias) in zip(folded.items(), found, strict=True):
        layer.set_weights([kernel])
        _unfold(reader, bias, np.zeros_like(bias), np.full_like(bias, 1 - reader.epsilon))
    for reader, (_, bias), (mean, variance) in zip(folded.values(), found, _said(model, folded, faces), strict=True):
        _unfold(reader, bias, mean, variance)


def _unfold(layer: Any, bias: Floats, mean: Floats, variance: Floats) -> None:
    """Batch normalization that adds `bias` to what has this mean and variance, and changes nothing else."""
    layer.set_weights([np.sqrt(variance + layer.epsilon), bias + mean, mean, variance])


def _said(model: Any, convolutions: Iterable[Any], faces: Floats) -> Iterator[tuple[Floats, Floats]]:
    """Mean and variance of each channel of what each convolution says."""
    import keras

    inner = keras.Model(model.input, [layer.output for layer in convolutions])
    for said in inner.predict(faces, batch_size=256, verbose=0):
        values = np.asarray(said, np.float32)
        yield values.mean(axis=(0, 1, 2)), values.var(axis=(0, 1, 2))


def _weights(network: bytes) -> Iterator[tuple[Floats, Floats]]:
    """Kernel as Keras has it, and bias, of each operation with weights, in the order in which they run."""
    model = schema.ModelT.InitFromPackedBuf(network)
    graph = model.subgraphs[0]
    for each in graph.operators:
        if model.operatorCodes[each.opcodeIndex].builtinCode in LEARNED:
            kernel, bias = (_floats(model, graph.tensors[index]) for index in each.inputs[1:3])
            yield np.moveaxis(kernel, 0, -1), bias


def _floats(model: Any, tensor: Any) -> Floats:
    """What a constant stands for, with a scale for each of the first axis, or one for all, if it is quantized; empty
    for what a float16 file only computes when it runs."""
    stored = model.buffers[tensor.buffer].data
    if stored is None:
        return np.empty(0, np.float32)
    kinds = {schema.TensorType.INT8: np.int8, schema.TensorType.INT32: np.int32, schema.TensorType.FLOAT32: np.float32}
    data = np.frombuffer(bytes(stored), kinds[tensor.type]).reshape(tensor.shape)
    scale = np.array(tensor.quantization.scale if data.dtype != np.float32 else [1.0], np.float32)
    return np.asarray(data * scale.reshape(-1, *[1] * (data.ndim - 1)), np.float32)
