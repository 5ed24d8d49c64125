"""Does a file answer the same on every runtime that devices have? Each runs in a process of its own."""

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import EmotionEdgeError
from edge.interpreter import RUNTIMES

INVOKE = Path(__file__).parent / "invoke.py"
OLD = ("tflite-runtime==2.14.0", "numpy<2")
"""The last tflite_runtime, the only one for 32-bit systems. With numpy 2 it dies, hence an environment of its own."""


@dataclass(frozen=True)
class Sameness:
    """How one runtime's outputs compare with those of the runtime that is ours.

    faces        how many were compared
    equal        share of the faces whose outputs are the same, bit by bit
    largest_lsb  the largest difference of an output, in steps of int8
    same_label   share of the faces with the same likeliest label
    """

    faces: int
    equal: float
    largest_lsb: int
    same_label: float


def compared(network: bytes, faces: NDArray[np.int8], old: Path | None = None) -> dict[str, Sameness]:
    """Each other runtime against the first of `edge.interpreter.RUNTIMES`, named by its package.

    network  of a `.tflite` with int8 in and out
    faces    (n, side, side, channels) as the input tensor wants them
    old      a Python that has tflite_runtime; without one that runtime is left out
    """
    ours, *others = ((name, sys.executable) for name in RUNTIMES if name != "tflite_runtime.interpreter")
    if old:
        others.append(("tflite_runtime.interpreter", str(old)))
    reference = outputs(network, faces, *ours)
    return {
        name.partition(".")[0]: sameness(reference, outputs(network, faces, name, python)) for name, python in others
    }


def sameness(reference: NDArray[np.int8], other: NDArray[np.int8]) -> Sameness:
    """Two (n, labels) arrays of int8 outputs held against each other."""
    steps = np.abs(reference.astype(int) - other.astype(int))
    return Sameness(
        faces=len(reference),
        equal=float((steps.max(axis=1) == 0).mean()),
        largest_lsb=int(steps.max()),
        same_label=float((reference.argmax(axis=1) == other.argmax(axis=1)).mean()),
    )


def outputs(network: bytes, faces: NDArray[Any], runtime: str, python: str) -> NDArray[Any]:
    """(n, labels) raw outputs of a runtime, a module that has `Interpreter`, in the Python that has it."""
    with tempfile.TemporaryDirectory() as folder:
        model, given, answers = (Path(folder) / name for name in ("model.tflite", "faces.npy", "answers.npy"))
        model.write_bytes(network)
        np.save(given, faces)
        command = [python, str(INVOKE), runtime, str(model), str(given), str(answers)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise EmotionEdgeError(f"{runtime} in {python} failed: {_last_line(done.stderr)}")
        return np.asarray(np.load(answers))


def old_python(folder: Path) -> Path:
    """The Python of an environment with tflite_runtime in `folder`, made if it is not there.

    EmotionEdgeError where it cannot be had: there is a wheel for Python 3.11 and older, and pip must reach it.
    """
    python = folder / "bin" / "python"
    if python.is_file():
        return python
    base = shutil.which("python3.11")
    if base is None:
        raise EmotionEdgeError("no python3.11 on this machine: tflite_runtime has no wheel for newer ones")
    for command in ([base, "-m", "venv", str(folder)], [str(python), "-m", "pip", "install", "--quiet", *OLD]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            raise EmotionEdgeError(f"no environment with tflite_runtime in {folder}: {_last_line(done.stderr)}")
    return python


def _last_line(text: str) -> str:
    return next(reversed(text.strip().splitlines()), "no message")
