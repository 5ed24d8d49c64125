"""The networks that can be trained, one file each, all with the same heads. Keras is loaded when one is built."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from edge.contract import InputSpec
from edge.errors import SettingsError

VALENCE_AROUSAL = "valence_arousal"
"""The head whose two outputs lie between -1 and 1; all other heads have logits."""


@dataclass(frozen=True)
class Network:
    """One that can be trained.

    place       module below this one, and the function in it that makes features of a batch of inputs
    side        pixels, the side of the input that suits it
    pretrained  can begin with weights that somebody else trained: its function takes a second argument for them
    """

    place: str
    side: int = 48
    pretrained: bool = False

    def body(self) -> Callable[..., Any]:
        """From inputs (n, side, side, channels) to features: (n, any), or (n, height, width, any) for a head that is
        a convolution."""
        module, function = self.place.split(":")
        made: Callable[..., Any] = getattr(import_module(f"{__name__}.{module}"), function)
        return made

    def refuse(self, name: str, weights: str, spec: InputSpec) -> None:
        """SettingsError if it cannot have these weights, or be given this input."""
        if weights and not self.pretrained:
            raise SettingsError(f"weights {weights!r}: expected none, for {name} has no pretrained ones")
        if self.pretrained and (spec.low, spec.high) != (-1.0, 1.0):
            raise SettingsError(f"input range [{spec.low}, {spec.high}]: expected [-1, 1], from which {name} goes on")

    def about(self) -> str:
        """What its file says of it: source, parameters, multiplications."""
        return str(import_module(f"{__name__}.{self.place.split(':')[0]}").__doc__)


NETWORKS: dict[str, Network] = {
    "residual": Network("residual:body"),
    "residual-nano": Network("residual:nano"),
    "residual-large": Network("residual:large"),
    "plain": Network("plain:body"),
    "baseline": Network("baseline:body"),
    "mini-xception": Network("mini_xception:body", side=64),
    "convolutional": Network("convolutional:body", side=64),
    "vgg": Network("vgg:body"),
    "mobilenet-v2": Network("mobilenet_v2:body", side=96, pretrained=True),
    "mobilenet-v3-small": Network("mobilenet_v3_small:body", side=96, pretrained=True),
    "resnet50": Network("resnet50:body", side=96, pretrained=True),
    "face-resnet": Network("face_resnet:body", pretrained=True),
    "face-resnet-small": Network("face_resnet:small", pretrained=True),
    "vgg19": Network("vgg19:body", side=96, pretrained=True),
}


def named(name: str) -> Network:
    """The network of this name; SettingsError says which there are."""
    if name not in NETWORKS:
        raise SettingsError(f"network {name!r}: expected one of {', '.join(sorted(NETWORKS))}")
    return NETWORKS[name]


def build(name: str, spec: InputSpec, heads: Mapping[str, int], dropout: float = 0.3, weights: str = "") -> Any:
    """A Keras model whose outputs are a dict from each head's name to (n, labels) float32 logits.

    weights  "" for new ones; for a pretrained network also "imagenet" or the path of a file
    SettingsError for a name that is none of NETWORKS, or weights that it cannot have.
    """
    import keras
    from keras import layers

    network = named(name)
    network.refuse(name, weights, spec)
    inputs = layers.Input(spec.shape, name="face")
    features = network.body()(inputs, weights) if network.pretrained else network.body()(inputs)
    dropped = layers.Dropout(dropout)(features)
    return keras.Model(inputs, {head: _head(dropped, head, labels) for head, labels in heads.items()}, name=name)


def _head(features: Any, head: str, labels: int) -> Any:
    from keras import layers

    activation = "tanh" if head == VALENCE_AROUSAL else None
    if len(features.shape) == 2:
        return layers.Dense(labels, activation, dtype="float32", name=head)(features)
    place = layers.Conv2D(labels, features.shape[1:3], activation=activation, dtype="float32", name=f"{head}_place")
    return layers.Flatten(dtype="float32", name=head)(place(features))


def single(model: Any, head: str) -> Any:
    """The network with one of its heads only: (n, labels) logits, as a device runs it."""
    import keras

    if head not in model.output:
        raise SettingsError(
            f"head {head!r}: expected one of {', '.join(model.output)}, which this network was trained on"
        )
    return keras.Model(model.input, model.output[head], name=f"{model.name}_{head}")


def cost(model: Any) -> tuple[int, int]:
    """(parameters, multiplications for one face); batch normalization counts none, for it is folded into its layer."""
    return model.count_params(), sum(_multiplications(layer) for layer in model.layers)


def _multiplications(layer: Any) -> int:
    """Of a convolution each number of a kernel is used once at each place of the output; of a dense layer once."""
    kinds = {"Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Dense"}
    kernels = [each for each in layer.weights if "kernel" in each.name] if type(layer).__name__ in kinds else []
    places = math.prod(layer.output.shape[1:-1])
    return sum(int(math.prod(each.shape)) for each in kernels) * int(places)
