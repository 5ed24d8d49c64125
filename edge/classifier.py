"""Classifier: the pixels of a face in, the probability of each label out. Only here is int8 made real."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge import config, interpreter
from edge.contract import ModelCard, Quantization, read_card, read_model_file, scale_pixels
from edge.errors import ModelError

MODELS = Path(__file__).parent / "models"
SHIPPED = MODELS / f"{config.Model().file}.tflite"
"""The models that we trained, and the one that is used unless another is asked for. Their cards say how they were made,
docs/models/ how good they are."""


class Classifier:
    """One emotion model and its interpreter; to be used by one thread at a time.

    content  the bytes of a `.tflite` with a card, int8 or float32
    where    what messages call it
    threads  of the interpreter
    Raises ModelError when file and card do not agree, or the network is not what the card says.
    """

    def __init__(self, content: bytes, where: str, threads: int = 1) -> None:
        self.card, self.content = read_card(content, where), content
        self.sha256 = hashlib.sha256(content).hexdigest()
        self._interpreter = interpreter.load(content, threads, where)
        self._input, self._output = _checked(self._interpreter, self.card, where)
        self._of_level = _pixel_table(self.card)

    @classmethod
    def read(cls, path: Path = SHIPPED, threads: int = 1) -> "Classifier":
        """The classifier in a file."""
        return cls(read_model_file(path), str(path), threads)

    @property
    def name(self) -> str:
        """Which model this is, for records: name@version#first digits of the file's sha256."""
        return f"{self.card.name}@{self.card.version}#{self.sha256[:8]}"

    def logits(self, face: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(labels,) raw outputs for one crop of (side, side, channels)."""
        self._interpreter.set_tensor(self._input, self.tensor(face)[np.newaxis])
        self._interpreter.invoke()
        return _real(self._interpreter.get_tensor(self._output)[0], self.card.quant_out)

    def tensor(self, face: NDArray[np.uint8]) -> NDArray[Any]:
        """What the network is given for a crop: as `to_input`, then int8 if the model is."""
        return np.asarray(self._of_level[face])

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Softmax of (labels,) logits at the card's temperature."""
        exponents = np.exp((logits - logits.max()) / np.float32(self.card.temperature))
        return np.asarray(exponents / exponents.sum(), np.float32)


def shipped() -> dict[str, Path]:
    """The emotion models that came with this package, by name."""
    return {path.stem: path for path in sorted(MODELS.glob("emotion-*.tflite"))}


def model_file(name: str) -> Path:
    """The file of a model that ships, or the file that `name` is; ModelError for a word that is neither."""
    if name in shipped():
        return shipped()[name]
    if Path(name).suffix or len(Path(name).parts) > 1:
        return Path(name).expanduser()
    raise ModelError(f"model {name!r}: expected {', '.join(shipped())}, or the path of a .tflite file")


def open_classifier(settings: config.Model) -> Classifier:
    """The model that the settings ask for; ModelError for a file that cannot be honoured."""
    path = model_file(settings.file)
    if settings.threads:
        return Classifier.read(path, settings.threads)
    from edge.probe import fastest_threads  # which needs this module

    content = read_model_file(path)
    return Classifier(content, str(path), fastest_threads(content, str(path)))


def quantized(values: NDArray[np.float32], how: Quantization) -> NDArray[np.int8]:
    """Real numbers as int8, rounded to the nearest and clipped to -128..127."""
    steps = np.round(values / np.float32(how.scale)) + how.zero_point
    return np.asarray(np.clip(steps, -128, 127), np.int8)


def _real(values: NDArray[Any], how: Quantization | None) -> NDArray[np.float32]:
    # int8 minus a zero point can pass 127: widen first.
    real: NDArray[np.float32] = values.astype(np.float32)
    return real if how is None else (real - np.float32(how.zero_point)) * np.float32(how.scale)


def _pixel_table(card: ModelCard) -> NDArray[Any]:
    """(256,) what each grey level becomes at the network's input: `to_input`, then int8 if the model is."""
    levels = scale_pixels(np.arange(256, dtype=np.uint8), card.input)
    return levels if card.quant_in is None else quantized(levels, card.quant_in)


def _checked(network: interpreter.Interpreter, card: ModelCard, where: str) -> tuple[int, int]:
    """Indices of the input and output tensors; ModelError if they are not what the card promises."""
    inputs, outputs = network.get_input_details(), network.get_output_details()
    found = [(tuple(each["shape"].tolist()), np.dtype(each["dtype"]).name) for each in (*inputs, *outputs)]
    dtype = "float32" if card.quant_in is None else "int8"
    wanted = [((1, *card.input.shape), dtype), ((1, len(card.labels)), dtype)]
    if found != wanted:
        raise ModelError(f"{where}: tensors {found!r}: expected {wanted!r} by the model's card; make the file again")
    for each, said in ((inputs[0], card.quant_in), (outputs[0], card.quant_out)):
        scale, zero_point = each["quantization"]
        if said is not None and not (np.isclose(scale, said.scale) and zero_point == said.zero_point):
            raise ModelError(
                f"{where}: quantized by {each['quantization']!r}, its card says {said}: make the file again"
            )
    return int(inputs[0]["index"]), int(outputs[0]["index"])
