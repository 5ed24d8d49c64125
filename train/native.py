"""A Keras network's step of training in PyTorch's own words: the same weights, losses and optimizer, twice as fast.

Keras keeps pictures with their channels last, and on a CPU has PyTorch copy every picture twice a layer. Here the
channels only lie last in memory, which its convolutions want.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import torch
from torch.nn import functional

from train.losses import losses
from train.mixing import Batch
from train.recipe import Recipe


def step(model: Any, optimizer: Any, recipe: Recipe) -> Callable[[Batch], float]:
    """Learns from a batch; its loss. For a network that `knows`, in float32 or mixed_bfloat16."""
    each, shares = losses(recipe)
    device = model.trainable_variables[0].value.device
    half = recipe.precision == "mixed_bfloat16"

    def learn(batch: Batch) -> float:
        x, *both = batch
        y, weights = ({head: _on(device, a) for head, a in part.items()} for part in both)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            found = _answers(model, _on(device, x).permute(0, 3, 1, 2))
        loss = sum(shares[head] * each[head](y[head], found[head], sample_weight=weights[head]) for head in found)
        model.zero_grad()
        loss.backward()
        variables = model.trainable_variables
        with torch.no_grad():
            optimizer.apply([variable.value.grad for variable in variables], variables)
        return float(loss.detach())

    return learn


def knows(model: Any) -> bool:
    """Are all layers of these kinds? Any other network is left to Keras."""
    return all(_is_known(layer) for layer in model.layers)


def _is_known(layer: Any) -> bool:
    kind = type(layer).__name__
    if kind == "Conv2D":
        plain = layer.padding == "same" and not layer.use_bias and layer.activation is keras.activations.linear
        return bool(plain and layer.dilation_rate == (1, 1) and layer.groups == 1 and len(set(layer.strides)) == 1)
    return kind in {"InputLayer", *KINDS}


def _on(device: Any, array: Any) -> Any:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def _answers(model: Any, x: Any) -> dict[str, Any]:
    """What the heads say while the network learns, of pictures (n, channels, height, width)."""
    found = {id(model.inputs[0]): x}
    for layer in model.layers:
        if kind := KINDS.get(type(layer).__name__):
            given = layer.input if isinstance(layer.input, list) else [layer.input]
            found[id(layer.output)] = kind(layer, *(found[id(each)] for each in given))
    return {head: found[id(output)].float() for head, output in model.output.items()}


def _convolution(layer: Any, x: Any) -> Any:
    kernel = layer.kernel.value.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
    (stride, _), (height, width) = layer.strides, layer.kernel_size
    (left, right), (above, below) = _padding(x.shape[3], width, stride), _padding(x.shape[2], height, stride)
    x = functional.pad(x, (0, right - left, 0, below - above)) if (right, below) != (left, above) else x
    return functional.conv2d(x, kernel, None, stride, (above, left))


def _padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Before and behind, for the padding that TensorFlow calls "same": what is odd goes behind."""
    both = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return both // 2, both - both // 2


def _normalized(layer: Any, x: Any) -> Any:
    """A frozen layer keeps its averages."""
    averages = layer.moving_mean.value, layer.moving_variance.value
    gamma, beta = layer.gamma.value, layer.beta.value
    return functional.batch_norm(x, *averages, gamma, beta, layer.trainable, 1 - layer.momentum, layer.epsilon)


KINDS: dict[str, Callable[..., Any]] = {
    "Conv2D": _convolution,
    "BatchNormalization": _normalized,
    "ReLU": lambda layer, x: x.relu(),
    "Add": lambda layer, x, y: x + y,
    "GlobalAveragePooling2D": lambda layer, x: x.float().mean((2, 3)),
    "Dropout": lambda layer, x: functional.dropout(x, layer.rate),
    "Dense": lambda layer, x: layer.activation(x.float() @ layer.kernel.value + layer.bias.value),
}
"""What each layer of our own networks does while they learn."""
