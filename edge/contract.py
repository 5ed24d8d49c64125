"""What training and device must agree on: emotion names, the model's card, and how a face becomes its input."""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError, SettingsError

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt")
"""The eight canonical emotion names. A file or message holds names, never bare integers."""

FER2013_LABELS = LABELS[:7]
"""The seven of FER2013, which happen to stand in that data set's own order."""

UNCERTAIN = "uncertain"
"""The ninth outcome: the model abstains, or the face is outside its limits."""

GROUP_OF = {
    "happy": "positive",
    "neutral": "neutral",
    "surprise": "neutral",
    "angry": "negative",
    "disgust": "negative",
    "fear": "negative",
    "sad": "negative",
    "contempt": "negative",
}
"""The coarse view. Surprise is neither good nor bad by itself, so it counts as neutral."""

GROUPS = ("positive", "neutral", "negative")

TOP = 3
"""So many of the likeliest labels are told of a face, in events, pictures and tables."""

ALIASES = {
    "anger": "angry",
    "disgusted": "disgust",
    "fearful": "fear",
    "scared": "fear",
    "afraid": "fear",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "surprised": "surprise",
}
"""Other spellings met in data sets."""

CARD_NAME = "model.json"
LABELS_NAME = "labels.txt"
MODEL_BYTES_LIMIT = 32 * 1024 * 1024
"""A file larger than this (in bytes) is refused unread; our models are under 1 MB."""


def canonical(name: str) -> str:
    """The canonical label for any spelling in ALIASES; SettingsError for a name that is none."""
    word = name.strip().lower()
    word = ALIASES.get(word, word)
    if word not in LABELS:
        raise SettingsError(f"unknown emotion label {name!r}: expected one of {', '.join(LABELS)}")
    return word


def likeliest(scores: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """The TOP labels of the highest probability, the highest first; fewer if there are no more."""
    return tuple(sorted(scores.items(), key=lambda each: each[1], reverse=True)[:TOP])


def grouped(scores: Mapping[str, float]) -> dict[str, float]:
    """Probabilities of labels summed into positive, neutral and negative."""
    sums = dict.fromkeys(GROUPS, 0.0)
    for label, score in scores.items():
        sums[GROUP_OF[label]] += score
    return sums


@dataclass(frozen=True, slots=True)
class InputSpec:
    """How a picture of a face becomes the network's input; the same for training and device.

    side          width and height of the input, pixels
    channels      1 (grey) or 3 (RGB)
    low, high     what pixel values 0 and 255 become
    align         "eyes": rotate and scale so that the eye key points land at fixed places;
                  "box": cut the detector's box, made square
    eye_line      align "eyes": height of the eyes, share of the side, 0 at the top
    eye_distance  align "eyes": distance between the eyes, share of the side
    margin        align "box": extra width on every edge, share of the box

    The default places are the medians of BlazeFace's key points on 2,911 FER2013 training faces, so that a
    camera's face is framed as the faces that the network learned from.
    """

    side: int = 48
    channels: Literal[1, 3] = 1
    low: float = -1.0
    high: float = 1.0
    align: Literal["eyes", "box"] = "eyes"
    eye_line: float = 0.40
    eye_distance: float = 0.37
    margin: float = 0.1

    def __post_init__(self) -> None:
        if not 16 <= self.side <= 512:
            raise ModelError(f"input side {self.side!r}: expected 16 to 512 pixels")
        if self.channels not in (1, 3):
            raise ModelError(f"input channels {self.channels!r}: expected 1 (grey) or 3 (RGB)")
        if not self.low < self.high:
            raise ModelError(f"input range [{self.low!r}, {self.high!r}]: expected low below high")
        if self.align not in ("eyes", "box"):
            raise ModelError(f"face alignment {self.align!r}: expected 'eyes' or 'box'")
        if not (0 < self.eye_line < 1 and 0.1 <= self.eye_distance < 1 and 0 <= self.margin <= 1):
            raise ModelError(
                f"face placement eye_line={self.eye_line!r} eye_distance={self.eye_distance!r} "
                f"margin={self.margin!r}: expected shares of the side between 0 and 1"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channel) of one input."""
        return self.side, self.side, self.channels


Corners = NDArray[np.float32]
"""(3, 2): x and y in the picture of the crop's top-left, top-right and bottom-left corners, pixels."""


def eye_corners(right_eye: tuple[float, float], left_eye: tuple[float, float], spec: InputSpec) -> Corners:
    """The square in which these eyes lie where `spec` wants them.

    `right_eye` is the person's, at the left of the picture. Eyes in one point give a square of no size.
    """
    right, left = np.array(right_eye, np.float32), np.array(left_eye, np.float32)
    along = (left - right) / spec.eye_distance
    down = np.array([-along[1], along[0]], np.float32)
    top_left = (right + left) / 2 - along / 2 - down * spec.eye_line
    return np.stack([top_left, top_left + along, top_left + down]).astype(np.float32)


def box_corners(left: float, top: float, right: float, bottom: float, spec: InputSpec) -> Corners:
    """The square about the box's centre, its longer side widened by the margin on every edge."""
    side = max(right - left, bottom - top) * (1 + 2 * spec.margin)
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    return np.array([[x, y], [x + side, y], [x, y + side]], np.float32)


def crop(picture: NDArray[np.uint8], spec: InputSpec, corners: Corners | None = None) -> NDArray[np.uint8]:
    """Cut the square at `corners` (default: the whole picture) to (side, side, channels), uint8.

    `picture` is (height, width) grey or (height, width, 3) RGB. What lies outside repeats the edge.
    Shrinking averages whole blocks (drawn at a multiple of the side, then area resize), so a large face
    does not alias.
    """
    height, width = picture.shape[:2]
    if corners is None:
        corners = np.array([[0, 0], [width, 0], [0, height]], np.float32)
    if picture.shape[2:] == (3,) and spec.channels == 1:
        picture, corners = _grey_part(picture, corners)  # takes half the time of drawing three colours
    extent = float(np.linalg.norm(corners[1] - corners[0]))
    blocks = max(1, min(8, round(extent / spec.side)))
    drawn = spec.side * blocks
    # Corners are edges of pixels, warpAffine speaks of their centres: hence the halves.
    target = np.array([[0, 0], [drawn, 0], [0, drawn]], np.float32) - 0.5
    matrix = _affine(target, corners - np.float32(0.5))
    face = cv2.warpAffine(
        picture, matrix, (drawn, drawn), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    if blocks > 1:
        face = cv2.resize(face, (spec.side, spec.side), interpolation=cv2.INTER_AREA)
    if face.ndim == 2 and spec.channels == 3:
        face = cv2.cvtColor(face, cv2.COLOR_GRAY2RGB)
    return np.asarray(face, np.uint8).reshape(spec.shape)


def _grey_part(picture: NDArray[np.uint8], corners: Corners) -> tuple[NDArray[np.uint8], Corners]:
    """What of an RGB picture the square needs, in grey, and the square's corners there."""
    size = np.array(picture.shape[1::-1])
    ends = np.vstack([corners, corners[1] + corners[2] - corners[0]])
    # Two pixels more than the square, for what lies between its outermost pixels and their neighbours.
    left, top = np.clip(np.floor(ends.min(axis=0)) - 2, 0, size - 1).astype(int)
    right, bottom = np.clip(np.ceil(ends.max(axis=0)) + 2, (left + 1, top + 1), size).astype(int)
    grey = cv2.cvtColor(picture[top:bottom, left:right], cv2.COLOR_RGB2GRAY)
    return np.asarray(grey, np.uint8), corners - np.array([left, top], np.float32)


def _affine(source: Corners, target: Corners) -> NDArray[np.float64]:
    """The 2 x 3 matrix that takes three points to three others (`cv2.getAffineTransform`, without its refusals)."""
    system = np.column_stack([source, np.ones(3)]).astype(np.float64)
    return np.asarray(np.linalg.solve(system, target.astype(np.float64)).T, np.float64)


def to_input(picture: NDArray[np.uint8], spec: InputSpec, corners: Corners | None = None) -> NDArray[np.float32]:
    """A face as the network wants it: (side, side, channels) float32 from `low` to `high`.

    The only way from pixels to network, for training, calibration, comparison, benchmark and daemon.
    """
    return scale_pixels(crop(picture, spec, corners), spec)


def scale_pixels(face: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    """uint8 pixels of any shape to float32 from `low` (0) to `high` (255)."""
    step = np.float32((spec.high - spec.low) / 255)
    return face.astype(np.float32) * step + np.float32(spec.low)


@dataclass(frozen=True, slots=True)
class Quantization:
    """How int8 numbers stand for real ones: real = (int8 - zero_point) * scale."""

    scale: float
    zero_point: int

    def __post_init__(self) -> None:
        if not (self.scale > 0 and -128 <= self.zero_point <= 127):
            raise ModelError(
                f"quantization scale {self.scale!r}, zero point {self.zero_point!r}: "
                "expected a positive scale and a zero point from -128 to 127"
            )


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model file says of itself; travels inside the `.tflite` as `model.json`.

    labels        the outputs in order, canonical names; the outputs are logits
    input         how a face is prepared
    quant_in/out  the int8 scales; None for a float model
    temperature   logits are divided by it before softmax, so that confidence means accuracy
    abstain       below this confidence (0 to 1) the outcome is "uncertain"
    model_sha256  hash of the flatbuffer in front of the attached files, hexadecimal
    train         command, data, terms, hash of the training manifest
    measured      accuracies with their protocol, as the evaluation wrote them
    """

    name: str
    version: str
    labels: tuple[str, ...]
    input: InputSpec
    quant_in: Quantization | None = None
    quant_out: Quantization | None = None
    temperature: float = 1.0
    abstain: float = 0.5
    model_sha256: str = ""
    train: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.labels or len(set(self.labels)) != len(self.labels) or set(self.labels) - set(LABELS):
            raise ModelError(f"model labels {list(self.labels)!r}: expected distinct names out of {', '.join(LABELS)}")
        if not 0.05 <= self.temperature <= 20:
            raise ModelError(f"model temperature {self.temperature!r}: expected 0.05 to 20")
        if not 0 <= self.abstain < 1:
            raise ModelError(f"model abstain threshold {self.abstain!r}: expected 0 to 1")

    def to_json(self) -> str:
        """The card as text, without spaces: in a small model each kilobyte counts."""
        return json.dumps(self.as_document(), separators=(",", ":"), ensure_ascii=False) + "\n"

    def as_document(self) -> dict[str, Any]:
        """The card as it stands in `model.json`."""
        spec, quantized = self.input, self.quant_in is not None and self.quant_out is not None
        return {
            "schema": 1,
            "name": self.name,
            "version": self.version,
            "sha256": self.model_sha256,
            "labels": list(self.labels),
            "input": {
                "h": spec.side,
                "w": spec.side,
                "c": spec.channels,
                "color": "gray" if spec.channels == 1 else "rgb",
                "range": [spec.low, spec.high],
                "crop": {
                    "align": spec.align,
                    "eye_line": spec.eye_line,
                    "eye_distance": spec.eye_distance,
                    "margin": spec.margin,
                    "square": True,
                },
                "interp": "area",
            },
            "output": "logits",
            "quant": {
                "kind": "full-int8" if quantized else "float32",
                "in": asdict(self.quant_in) if self.quant_in else None,
                "out": asdict(self.quant_out) if self.quant_out else None,
            },
            "calibration": {"temperature": self.temperature, "abstain": self.abstain},
            "train": dict(self.train),
            "measured": dict(self.measured),
        }

    def summary(self) -> str:
        """The card on a few lines, for people."""
        spec, test = self.input, self.measured.get("test", {})
        lines = [
            f"  {self.name} {self.version}, {'int8' if self.quant_in else 'float32'}, "
            f"{spec.side}x{spec.side} {'grey' if spec.channels == 1 else 'RGB'}, faces aligned by {spec.align}",
            f"  labels: {', '.join(self.labels)}; uncertain below {self.abstain:.2f}",
        ]
        if test:
            lines.append(
                f"  test accuracy {test['accuracy']:.2%} of {test['n']} faces, calibration error "
                f"{test['expected_calibration_error']:.3f}; trained on {self.train.get('data', '')}"
            )
        return "\n".join(lines)

    @staticmethod
    def from_json(text: str, where: str) -> "ModelCard":
        """The card in `text`; ModelError, naming `where`, for one that does not say what it must."""
        try:
            return _card(json.loads(text))
        except ModelError as error:
            raise ModelError(f"{where}: {error}") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(
                f"{where}: the model card is not readable ({type(error).__name__}: {error}): "
                "expected schema 1; make the file again with `python -m quantize`"
            ) from error


def _card(document: Mapping[str, Any]) -> ModelCard:
    if document["schema"] != 1:
        raise ModelError(f"model card schema {document['schema']!r}: expected 1; update emotion-edge")
    if document["output"] != "logits" or document["input"]["interp"] != "area":
        raise ModelError(
            f"model card output {document['output']!r}, interp {document['input']['interp']!r}: "
            "expected 'logits' and 'area'"
        )
    given, quant, placed = document["input"], document["quant"], document["input"]["crop"]
    if given["h"] != given["w"]:
        raise ModelError(f"model input {given['w']}x{given['h']}: expected a square")
    return ModelCard(
        name=str(document["name"]),
        version=str(document["version"]),
        labels=tuple(document["labels"]),
        input=InputSpec(
            side=int(given["h"]),
            channels=given["c"],
            low=float(given["range"][0]),
            high=float(given["range"][1]),
            align=placed["align"],
            eye_line=float(placed["eye_line"]),
            eye_distance=float(placed["eye_distance"]),
            margin=float(placed["margin"]),
        ),
        quant_in=Quantization(**quant["in"]) if quant["in"] else None,
        quant_out=Quantization(**quant["out"]) if quant["out"] else None,
        temperature=float(document["calibration"]["temperature"]),
        abstain=float(document["calibration"]["abstain"]),
        model_sha256=str(document["sha256"]),
        train=document["train"],
        measured=document["measured"],
    )


def read_card(content: bytes, where: str) -> ModelCard:
    """The card inside a model file's bytes, checked against them; ModelError, naming `where`, if either is no good."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as attached:
            names = attached.namelist()
            if CARD_NAME not in names or LABELS_NAME not in names:
                raise ModelError(f"{where}: holds {names!r}: expected {CARD_NAME} and {LABELS_NAME}")
            start = min(entry.header_offset for entry in attached.infolist())
            card = ModelCard.from_json(attached.read(CARD_NAME).decode(), where)
            listed = tuple(attached.read(LABELS_NAME).decode().split())
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise ModelError(
            f"{where}: a .tflite file without a model card (or a truncated one): "
            "expected a file made by `python -m quantize`; see `emotion-edge models`"
        ) from error
    if listed != card.labels:
        raise ModelError(f"{where}: {LABELS_NAME} says {list(listed)!r}, the card {list(card.labels)!r}: make it again")
    if hashlib.sha256(content[:start]).hexdigest() != card.model_sha256:
        raise ModelError(f"{where}: the network has not the sha256 that its card names: damaged; copy it again")
    return card


def read_model_file(path: Path) -> bytes:
    """The bytes of a `.tflite` file; ModelError for one that is missing, too large, or no TFLite file at all."""
    try:
        size = path.stat().st_size
        if size > MODEL_BYTES_LIMIT:
            raise ModelError(f"{path}: {size} bytes: expected a model of at most {MODEL_BYTES_LIMIT} bytes")
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot read the model file: {error.strerror}; see `emotion-edge models`") from error
    if content[4:8] != b"TFL3":
        raise ModelError(f"{path}: {len(content)} bytes that are no TFLite model: expected a .tflite file with a card")
    return content
