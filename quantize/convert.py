"""From a float Keras network to TFLite bytes: int8 all through, or float32 to compare with. Pure functions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_int8(model: Any, samples: NDArray[np.float32]) -> bytes:
    """Full int8, per-channel weights, int8 in and out; ranges from `samples` (n, side, side, channels)."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([each[np.newaxis]] for each in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def to_float32(model: Any) -> bytes:
    """The same network unquantized."""
    import tensorflow as tf

    return bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
