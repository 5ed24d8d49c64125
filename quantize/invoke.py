"""Run a `.tflite` file on inputs from a file, in a Python that has nothing but numpy and one runtime.

    python invoke.py MODULE MODEL.tflite INPUTS.npy OUTPUTS.npy

MODULE has the `Interpreter`. Imports nothing of ours, so that the Python of another environment can run it.
"""

import importlib
import sys

import numpy as np


def main(module: str, model: str, inputs: str, outputs: str) -> None:
    """`outputs`.npy (n, labels) for `inputs`.npy (n, side, side, channels), both as the tensors have them."""
    network = importlib.import_module(module).Interpreter(model_path=model, num_threads=1)
    network.allocate_tensors()
    face, logits = network.get_input_details()[0]["index"], network.get_output_details()[0]["index"]
    answers = []
    for each in np.load(inputs):
        network.set_tensor(face, each[np.newaxis])
        network.invoke()
        answers.append(network.get_tensor(logits)[0])
    np.save(outputs, np.stack(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
