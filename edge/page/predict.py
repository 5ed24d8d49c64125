"""Predictions for faces that clients send, by the device's own classifier, in TensorFlow Serving's shape."""

import base64
import binascii
import os
from typing import Any

# Before OpenCV is imported, which reads it once: a small file can claim to be a huge picture.
PIXELS_LIMIT = 4_194_304
os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(PIXELS_LIMIT)

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from edge.classifier import Classifier  # noqa: E402
from edge.contract import crop  # noqa: E402
from edge.page.instances import INPUT, SIGNATURE, VERSION, RequestError, named  # noqa: E402

MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
"""How a JPEG and a PNG begin."""


def answer(classifier: Classifier, instances: list[Any], by_row: bool) -> dict[str, Any]:
    """The answer to a request, with the outputs that the exported SavedModel has: `scores` and `classes`."""
    classes = list(classifier.card.labels)
    scores = [_scores(classifier, each, number) for number, each in enumerate(instances)]
    if by_row:
        return {"predictions": [{"scores": each, "classes": classes} for each in scores]}
    return {"outputs": {"scores": scores, "classes": [classes] * len(scores)}}


def metadata(classifier: Classifier) -> dict[str, Any]:
    """What the model takes and gives, as TensorFlow Serving tells it."""
    outputs = {
        name: _tensor(name, dtype, (-1, len(classifier.card.labels)))
        for name, dtype in (("scores", "DT_FLOAT"), ("classes", "DT_STRING"))
    }
    inputs = {INPUT: _tensor(INPUT, "DT_UINT8", (-1, *classifier.card.input.shape))}
    method = "tensorflow/serving/predict"
    signatures = {SIGNATURE: {"inputs": inputs, "outputs": outputs, "method_name": method}}
    return {
        "model_spec": {"name": classifier.card.name, "signature_name": "", "version": VERSION},
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


def _tensor(name: str, dtype: str, shape: tuple[int, ...]) -> dict[str, Any]:
    sizes = [{"size": str(each), "name": ""} for each in shape]
    return {"dtype": dtype, "tensor_shape": {"dim": sizes, "unknown_rank": False}, "name": name}


def _scores(classifier: Classifier, instance: Any, number: int) -> list[float]:
    try:
        face = _face(classifier, named(instance))
    except RequestError as error:
        raise RequestError(f"face {number}: {error}") from error
    return [round(float(each), 6) for each in classifier.probabilities(classifier.logits(face))]


def _face(classifier: Classifier, given: Any) -> NDArray[np.uint8]:
    """(side, side, channels) pixels of a face given as nested lists, or as the picture file of one."""
    if isinstance(given, dict) and list(given) == ["b64"]:
        return crop(_decoded(given["b64"]), classifier.card.input)
    shape = classifier.card.input.shape
    try:
        values = np.array(given)
    except ValueError as error:  # lists of different lengths
        raise RequestError(f"expected lists of shape {shape}") from error
    if values.dtype.kind not in "iuf" or values.shape != shape:
        raise RequestError(f"expected numbers in lists of shape {shape}, found shape {values.shape}")
    if values.min() < 0 or values.max() > 255 or (values != np.floor(values)).any():
        raise RequestError("expected pixels, whole numbers from 0 to 255: the model scales them itself")
    return values.astype(np.uint8)


def _decoded(text: Any) -> NDArray[np.uint8]:
    try:
        content = base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise RequestError("b64: expected text in base 64") from error
    if not content.startswith(MAGIC):
        raise RequestError("b64: expected a JPEG or PNG file")
    try:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # larger than the limit
        picture = None
    if picture is None:
        raise RequestError(f"b64: expected an undamaged JPEG or PNG of at most {PIXELS_LIMIT} pixels")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
