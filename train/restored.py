"""The weights of a `.tflite` file, to go on learning from: what ships can be taught its owner's faces."""

from collections.abc import Iterator
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
"""Operations with weights; any other kind of layer with weights makes the numbers of layers differ."""


def take_over(model: Any, file: Path, faces: Floats) -> None:
    """Give a new network the weights of a file; heads that the file has not stay new.

    A file has its batch normalization folded into the convolutions. It is unfolded by what the convolutions say of
    `faces` (n, side, side, channels): the network answers as the file does, and learns as one that was never folded.
    SettingsError if it is another network.
    """
    asked = opened(file)
    head = asked.heads[0]
    convolutions = [layer for layer in model.layers if type(layer).__name__ == "Conv2D"]
    followers = [_follower(model, layer) for layer in convolutions]
    dense = [model.get_layer(head)] if head in model.output else []
    found = [*_weights(file.read_bytes())]
    shapes = [tuple(layer.kernel.shape) for layer in (*convolutions, *dense)]
    if not dense or None in followers or shapes != [kernel.shape for kernel, _ in found]:
        raise SettingsError(
            f"{file}: not this network with the head {head!r}, or one that is not convolutions with batch "
            "normalization: give --set the network and input.side that its card names, or another file"
        )
    for layer, follower, (kernel, bias) in zip(convolutions, followers, found, strict=False):
        layer.set_weights([kernel])
        _unfold(follower, bias, np.zeros_like(bias), np.full_like(bias, 1 - follower.epsilon))
    order = [asked.labels.index(label) for label in HEADS[head]]
    dense[0].set_weights([each[..., order] for each in found[-1]])
    for follower, (_, bias), (mean, variance) in zip(followers, found, _said(model, convolutions, faces), strict=False):
        _unfold(follower, bias, mean, variance)


def _follower(model: Any, layer: Any) -> Any:
    """The batch normalization that reads what a layer says; None if there is none, or the layer has a bias."""
    found = [each for each in model.layers if type(each).__name__ == "BatchNormalization"]
    return next((each for each in found if each.input is layer.output and not layer.use_bias), None)


def _unfold(layer: Any, bias: Floats, mean: Floats, variance: Floats) -> None:
    """Batch normalization that adds `bias` to what has this mean and variance, and changes nothing else."""
    layer.set_weights([np.sqrt(variance + layer.epsilon), bias + mean, mean, variance])


def _said(model: Any, convolutions: list[Any], faces: Floats) -> Iterator[tuple[Floats, Floats]]:
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
    """What a constant stands for; a scale for each of the first axis, or one for all, if it is quantized."""
    kinds = {schema.TensorType.INT8: np.int8, schema.TensorType.INT32: np.int32, schema.TensorType.FLOAT32: np.float32}
    data = np.frombuffer(bytes(model.buffers[tensor.buffer].data), kinds[tensor.type]).reshape(tensor.shape)
    scale = np.array(tensor.quantization.scale if data.dtype != np.float32 else [1.0], np.float32)
    return np.asarray(data * scale.reshape(-1, *[1] * (data.ndim - 1)), np.float32)
