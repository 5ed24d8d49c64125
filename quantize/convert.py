"""From a float Keras network to TFLite bytes, in the four ways that are compared. Pure functions."""

import contextlib
import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

VARIANTS = ("float32", "float16", "dynamic", "int8")
"""All as it was trained; weights of 16 bits; int8 weights with activations scaled face by face; all of it int8."""


def variants(model: Any, samples: NDArray[np.float32]) -> dict[str, bytes]:
    """The one-headed network in each of VARIANTS; `samples` as for `to_int8`."""
    made: dict[str, Callable[[], bytes]] = {
        "float32": lambda: to_float32(model),
        "float16": lambda: to_float16(model),
        "dynamic": lambda: to_dynamic(model),
        "int8": lambda: to_int8(model, samples),
    }
    return {name: made[name]() for name in VARIANTS}


def to_int8(model: Any, samples: NDArray[np.float32]) -> bytes:
    """Full int8, per-channel weights, int8 in and out; ranges from `samples` (n, side, side, channels)."""
    import tensorflow as tf

    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([each[np.newaxis]] for each in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    return _converted(converter)


def to_dynamic(model: Any) -> bytes:
    """int8 weights, float32 in and out: the runtime scales each face's activations anew (dynamic range)."""
    import tensorflow as tf

    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return _converted(converter)


def to_float16(model: Any) -> bytes:
    """Weights of 16 bits, which the runtime widens; float32 in and out."""
    import tensorflow as tf

    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return _converted(converter)


def to_float32(model: Any) -> bytes:
    """The same network unquantized."""
    return _converted(_converter(model))


def _converter(model: Any) -> Any:
    import tensorflow as tf

    return tf.lite.TFLiteConverter.from_keras_model(model)


def _converted(converter: Any) -> bytes:
    """Without the pages that Keras prints on the way, and the warning that int8 was chosen without training for it."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Statistics for quantized inputs", UserWarning)
        return bytes(converter.convert())
