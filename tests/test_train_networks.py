"""Each network that can be trained: what its file says of it, its heads, and weights from elsewhere."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.contract import InputSpec
from edge.errors import SettingsError
from train import networks

pytestmark = [
    pytest.mark.train,
    pytest.mark.timeout(600),
    # TensorFlow's own.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

HEADS = {"votes": 8, "label": 7}
NEVER = "http://127.0.0.1:9"
"""A proxy that answers nobody."""


def built(name: str, side: int | None = None, channels: Any = 1, weights: str = "") -> Any:
    spec = InputSpec(side=side or networks.NETWORKS[name].side, channels=channels)
    return networks.build(name, spec, HEADS, weights=weights)


def faces(side: int, channels: int, seed: int = 0) -> np.ndarray:
    """Four inputs between -1 and 1."""
    return np.random.default_rng(seed).uniform(-1, 1, (4, side, side, channels)).astype(np.float32)


@pytest.mark.parametrize("name", sorted(networks.NETWORKS))
def test_a_network_is_as_large_as_its_file_says_and_has_its_heads(name: str) -> None:
    """At the side that suits it, for grey faces."""
    model = built(name)
    parameters, multiplications = networks.cost(model)
    said = f"{parameters / 1e6:.2f} M parameters, {multiplications / 1e6:.0f} M multiplications"
    about = " ".join(networks.NETWORKS[name].about().split())
    assert said in about and f"{networks.NETWORKS[name].side} pixels, grey" in about
    assert re.search(r"arXiv \d{4}\.\d{4,5}|LiteRT", about)
    answers = model(faces(networks.NETWORKS[name].side, 1), training=False)
    assert {head: tuple(each.shape) for head, each in answers.items()} == {"votes": (4, 8), "label": (4, 7)}


@pytest.mark.parametrize("name", ["residual", "convolutional", "mini-xception", "vgg19", "mobilenet-v2"])
def test_a_network_takes_colour_and_another_side(name: str) -> None:
    answers = built(name, side=48, channels=3)(faces(48, 3), training=False)
    assert answers["votes"].shape == (4, 8) and np.isfinite(np.asarray(answers["votes"])).all()


def test_costs_are_counted_as_by_hand() -> None:
    import keras
    from keras import layers

    x = layers.Input((6, 6, 2))
    y = layers.Conv2D(4, 3, padding="same")(x)  # 3*3*2*4 at 36 places
    y = layers.SeparableConv2D(5, 3, padding="same", use_bias=False)(y)  # 3*3*4 and 4*5 at 36 places
    y = layers.DepthwiseConv2D(3, 2, padding="same", use_bias=False)(y)  # 3*3*5 at 9 places
    y = layers.Dense(7)(layers.Flatten()(layers.BatchNormalization()(y)))  # 45*7
    multiplications = 36 * 72 + 36 * (36 + 20) + 9 * 45 + 45 * 7
    assert networks.cost(keras.Model(x, y)) == (72 + 4 + 36 + 20 + 45 + 20 + 45 * 7 + 7, multiplications)


def test_the_convolutional_network_has_no_dense_layer_and_no_average() -> None:
    kinds = {type(layer).__name__ for layer in built("convolutional").layers}
    assert "Dense" not in kinds and not any("Pooling" in kind for kind in kinds)


def test_heads_are_logits_but_for_valence_and_arousal() -> None:
    heads = {**HEADS, networks.VALENCE_AROUSAL: 2}
    for name in ("residual-nano", "convolutional"):
        model = networks.build(name, InputSpec(side=48), heads)
        outputs = {layer.name: layer for layer in model.layers}
        kinds = {head: outputs.get(f"{head}_place", outputs[head]).activation.__name__ for head in heads}
        assert kinds == {"votes": "linear", "label": "linear", networks.VALENCE_AROUSAL: "tanh"}
        alone = networks.single(model, "label")
        x = faces(48, 1)
        assert np.allclose(alone(x, training=False), model(x, training=False)["label"])
        with pytest.raises(SettingsError, match="expected one of votes, label, valence_arousal"):
            networks.single(model, "mood")


def test_in_half_precision_heads_still_answer_in_float32() -> None:
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = built("residual-nano")
    finally:
        keras.config.set_dtype_policy(before)
    assert {keras.backend.standardize_dtype(each.dtype) for each in model(faces(48, 1)).values()} == {"float32"}


def features(model: Any) -> Any:
    """The network up to its dropout: what the heads are given."""
    import keras

    (dropout,) = [layer for layer in model.layers if type(layer).__name__ == "Dropout"]
    return keras.Model(model.input, dropout.input)


@pytest.mark.parametrize(("name", "maker"), [("vgg19", "VGG19"), ("resnet50", "ResNet50")])
def test_a_pretrained_network_sees_what_its_weights_were_trained_on(name: str, maker: str, tmp_path: Path) -> None:
    """From a file; the same features as with keras.applications' own preprocessing, for RGB and for grey."""
    import keras

    module = getattr(keras.applications, name)
    theirs = getattr(keras.applications, maker)(include_top=False, weights=None, input_shape=(48, 48, 3), pooling="avg")
    file = tmp_path / f"{name}_notop.weights.h5"
    theirs.save_weights(file)
    for channels in (1, 3):
        x = faces(48, channels)
        pixels = np.repeat((x + 1) * 127.5, 3 // channels, axis=-1)
        wanted = theirs.predict(module.preprocess_input(pixels.copy()), verbose=0)
        ours = features(built(name, 48, channels, str(file))).predict(x, verbose=0)
        assert np.abs(ours - wanted).max() < 1e-3 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("name", "maker", "options"),
    [
        ("mobilenet-v2", "MobileNetV2", {"alpha": 0.5}),
        ("mobilenet-v3-small", "MobileNetV3Small", {"alpha": 0.75, "include_preprocessing": False}),
    ],
)
def test_a_mobile_network_takes_weights_from_a_file(
    name: str, maker: str, options: dict[str, Any], tmp_path: Path
) -> None:
    import keras

    theirs = getattr(keras.applications, maker)(
        include_top=False, weights=None, input_shape=(64, 64, 3), pooling="avg", **options
    )
    theirs.save_weights(tmp_path / "m.weights.h5")
    x = faces(64, 3)
    wanted = theirs.predict(x, verbose=0)
    ours = features(built(name, 64, 3, str(tmp_path / "m.weights.h5"))).predict(x, verbose=0)
    assert np.abs(ours - wanted).max() < 1e-3 * np.abs(wanted).max() + 1e-6


def test_a_vggface_file_becomes_the_same_resnet(tmp_path: Path) -> None:
    """A file in the layout of keras-vggface: its layer names, no biases, another epsilon, pixels less its own mean."""
    import h5py
    import keras

    theirs = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(48, 48, 3), pooling="avg")
    rng = np.random.default_rng(5)
    for layer in theirs.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.epsilon = 1e-3
            gamma, beta, mean, variance = (rng.uniform(0.5, 1, each.shape) for each in layer.get_weights())
            first = layer.name == "conv1_bn"  # its variance is small, so that the epsilon shows
            layer.set_weights([gamma, beta, mean, variance * (0.01 if first else 1)])
    file = tmp_path / "rcmalli_vggface_tf_notop_resnet50.h5"
    write_vggface(theirs, file)
    x = faces(48, 3)
    pixels = ((x + 1) * 127.5)[..., ::-1] - np.array([91.4953, 103.8827, 131.0912], np.float32)
    wanted = theirs.predict(pixels, verbose=0)
    ours = features(built("resnet50", 48, 3, str(file))).predict(x, verbose=0)
    assert np.isfinite(wanted).all() and np.abs(ours - wanted).max() < 1e-3 * np.abs(wanted).max()
    with h5py.File(file, "a") as stored:
        stored.attrs["layer_names"] = [each for each in stored.attrs["layer_names"] if "conv5_3_3x3" not in str(each)]
    with pytest.raises(SettingsError, match="no layer for conv5_block3_2_conv"):
        built("resnet50", 48, 3, str(file))


def write_vggface(model: Any, path: Path) -> None:
    """The model's weights as Keras 2 wrote them, a group for each layer, without the biases (which are 0)."""
    import h5py

    with h5py.File(path, "w") as stored:
        stored.attrs["layer_names"] = [vggface_name(layer.name).encode() for layer in model.layers]
        for layer in model.layers:
            name, kept = vggface_name(layer.name), layer.get_weights()
            kept = kept[:1] if type(layer).__name__ == "Conv2D" else kept
            group = stored.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{i}:0".encode() for i in range(len(kept))]
            for i, each in enumerate(kept):
                group[f"{name}/{i}:0"] = each


def vggface_name(layer: str) -> str:
    """`conv3_block1_2_bn` is `conv3_1_3x3/bn` there."""
    match = re.fullmatch(r"conv(\d)_block(\d)_(\d)_(conv|bn)", layer)
    end = "/bn" if layer.endswith("_bn") else ""
    if match:
        part = {"0": "1x1_proj", "1": "1x1_reduce", "2": "3x3", "3": "1x1_increase"}[match[3]]
        return f"conv{match[1]}_{match[2]}_{part}{end}"
    return {"conv1_conv": "conv1/7x7_s2", "conv1_bn": "conv1/7x7_s2/bn"}.get(layer, layer)


def write_dlib(path: Path, filters: list[np.ndarray], affines: list[np.ndarray]) -> None:
    """Convolutions (filters, channels, height, width), no biases, each with its gamma and beta, as dlib writes them."""

    def tensor(name: bytes, numbers: np.ndarray) -> bytes:
        size = numbers.size.to_bytes(4, "little").rstrip(b"\0")
        one = b"\x01\x01"
        shape = bytes([len(size)]) + size + 3 * one
        return b"\x01" + bytes([len(name)]) + name + b"\x01\x02" + shape + numbers.astype("<f4").tobytes() + 5 * one

    written = b"\x01\x0dloss_metric_2"
    for kernel, affine in zip(filters, affines, strict=True):
        without_bias = np.concatenate([kernel.ravel(), np.zeros(len(kernel))])
        written += tensor(b"con_4", without_bias) + tensor(b"affine_", affine) + b"\x01\x05relu_110"
    path.write_bytes(written)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_face_recognition_of_dlib_becomes_the_same_network_at_half_the_width(channels: int, tmp_path: Path) -> None:
    """By dlib's own description: pictures twice as wide, (pixel - mean) / 256, channels that are added are zero."""
    import keras
    from keras import ops

    rng = np.random.default_rng(3)
    widths = [32] * 7 + [64] * 8 + [128] * 4
    sides = [7] + [3] * 18
    filters = [
        rng.normal(0, (channels_in * side**2) ** -0.5, (width, channels_in, side, side)).astype(np.float32)
        for width, channels_in, side in zip(widths, [3, *widths], sides, strict=False)
    ]
    affines = [np.concatenate([rng.uniform(0.5, 1.5, width), rng.normal(0, 0.1, width)]) for width in widths]
    write_dlib(tmp_path / "dlib.dat", filters, affines)
    layers = iter(zip(filters, affines, strict=True))

    def convolved(x: Any, stride: int = 1, padding: str = "same") -> Any:
        kernel, affine = next(layers)
        gamma, beta = np.split(affine.astype(np.float32), 2)
        return ops.conv(x, kernel.transpose(2, 3, 1, 0), stride, padding) * gamma + beta

    x = faces(48, channels)
    pixels = np.repeat(np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0))) * 127.5 + 127.5, 3 // channels, axis=-1)
    wide = ops.image.resize(pixels, (104, 104), interpolation="bilinear")
    seen = (wide - np.array([122.782, 117.001, 104.298], np.float32)) / 256
    y = ops.max_pool(ops.relu(convolved(seen[:, 1:102, 1:102], 2, "valid")), 3, 2, "same")
    for halved in (0, 0, 0, 1, 0, 0, 0, 1, 0):
        changed = convolved(ops.relu(convolved(y, 1 + halved)))
        kept = ops.average_pool(y, 2) if halved else y
        more = changed.shape[-1] - kept.shape[-1]
        y = ops.relu(changed + ops.pad(kept, ((0, 0), (0, 0), (0, 0), (0, more))))
    wanted = np.asarray(ops.mean(y, axis=(1, 2)))
    built_features = features(built("face-resnet-small", 48, channels, str(tmp_path / "dlib.dat")))
    assert isinstance(built_features, keras.Model)
    assert np.abs(built_features.predict(x, verbose=0) - wanted).max() < 1e-3 * np.abs(wanted).max()
    with pytest.raises(SettingsError, match="19 convolutions: expected 27 or more"):
        built("face-resnet", 48, channels, str(tmp_path / "dlib.dat"))
    whole = (tmp_path / "dlib.dat").read_bytes()
    for damaged in (whole[:-100_000], whole[:5] + whole[50_000:]):
        (tmp_path / "damaged.dat").write_bytes(damaged)
        with pytest.raises(SettingsError, match=r"damaged\.dat"):
            built("face-resnet-small", 48, channels, str(tmp_path / "damaged.dat"))


def test_a_small_face_resnet_begins_with_the_first_levels_of_a_trained_one(tmp_path: Path) -> None:
    """And not with what a run of another network left."""
    large, other = built("face-resnet"), built("residual-nano")
    for model in (large, other):
        model.save(tmp_path / f"{model.name}.keras")
    small = built("face-resnet-small", weights=str(tmp_path / "face-resnet.keras"))
    taken = [layer.name for layer in small.layers if type(layer).__name__ == "Conv2D"]
    assert len(taken) == 21
    for name in taken:
        for ours, theirs in zip(small.get_layer(name).weights, large.get_layer(name).weights, strict=True):
            assert np.array_equal(ours, theirs)
    for name in ("residual-nano", "none"):
        with pytest.raises(SettingsError, match=r"expected best\.keras of a run with face-resnet") as refused:
            built("face-resnet-small", weights=str(tmp_path / f"{name}.keras"))
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["vgg19", "resnet50", "mobilenet-v2", "face-resnet"])
def test_weights_that_cannot_be_had_are_named_in_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No network, no such file, and a file of something else."""
    monkeypatch.setenv("https_proxy", NEVER)
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    (tmp_path / "other.weights.h5").write_bytes(b"no HDF5")
    for weights in ("imagenet", str(tmp_path / "none.h5"), str(tmp_path / "other.weights.h5")):
        with pytest.raises(SettingsError, match=f"weights '{re.escape(weights)}'") as refused:
            built(name, 96, 3, weights)
        assert "\n" not in str(refused.value)


def test_weights_and_ranges_that_a_network_cannot_have_are_refused() -> None:
    with pytest.raises(SettingsError, match="plain has no pretrained ones"):
        built("plain", weights="imagenet")
    with pytest.raises(SettingsError, match=r"expected \[-1, 1\]"):
        networks.build("vgg19", InputSpec(side=48, low=0.0), HEADS)
    with pytest.raises(SettingsError, match="expected one of baseline"):
        networks.build("transformer", InputSpec(), HEADS)


def test_without_weights_batch_normalization_learns_its_averages_in_hundreds_of_steps() -> None:
    for name in ("mobilenet-v2", "mobilenet-v3-small", "resnet50"):
        momenta = {layer.momentum for layer in built(name).layers if type(layer).__name__ == "BatchNormalization"}
        assert max(momenta) <= 0.99
