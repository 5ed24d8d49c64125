"""The float network for TensorFlow Serving, which answers with probabilities to pixels, and as a Keras file."""

import contextlib
import io
from pathlib import Path
from typing import Any

from edge.contract import InputSpec


def export(model: Any, folder: Path, spec: InputSpec, labels: tuple[str, ...], temperature: float) -> None:
    """`folder`/1/, a SavedModel, and `folder`/network.keras, the one-headed network with its logits.

    The signature `serving_default` takes `face`, (n, side, side, channels) uint8 from 0 to 255, cut out and aligned as
    `spec` says, and gives `scores` (n, labels), probabilities, and `classes` (n, labels), the names that they are of.
    """
    import keras
    import tensorflow as tf

    step, names = (spec.high - spec.low) / 255, tf.constant(labels)

    def answer(face: Any) -> dict[str, Any]:
        logits = model(tf.cast(face, tf.float32) * step + spec.low, training=False)
        scores = tf.nn.softmax(logits / temperature)
        return {"scores": scores, "classes": tf.broadcast_to(names, tf.shape(scores))}

    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "network.keras")
    archive = keras.export.ExportArchive()
    archive.track(model)
    signature = [tf.TensorSpec((None, *spec.shape), tf.uint8, name="face")]
    archive.add_endpoint("serving_default", answer, input_signature=signature)
    with contextlib.redirect_stdout(io.StringIO()):
        archive.write_out(str(folder / "1"), verbose=False)
