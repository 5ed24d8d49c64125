"""How long one invoke takes, several networks measured side by side so that a busy moment hits all of them alike."""

import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge import interpreter

ROUNDS = 60
INVOKES = 5
"""In each round every network is invoked so often, one after the other; the order of networks turns by one a round."""
HOW = f"median of {ROUNDS * INVOKES} invokes with one thread, {INVOKES} at a time in {ROUNDS} rounds, networks in turn"


def invoke_ms(networks: Mapping[str, bytes], inputs: Mapping[str, Sequence[NDArray[Any]]]) -> dict[str, float]:
    """Median milliseconds of one invoke of each network; `inputs` are what each is given, of its own type and shape.

    Only `invoke` is timed; a first round warms up and does not count.
    """
    loaded = {name: interpreter.load(content, 1, name) for name, content in networks.items()}
    took: dict[str, list[float]] = {name: [] for name in loaded}
    names = list(loaded)
    for number in range(-1, ROUNDS):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            times = [_timed(loaded[name], inputs[name][each % len(inputs[name])]) for each in range(INVOKES)]
            took[name] += times if number >= 0 else []
    return {name: round(float(np.median(times)), 3) for name, times in took.items()}


def _timed(network: interpreter.Interpreter, face: NDArray[Any]) -> float:
    network.set_tensor(network.get_input_details()[0]["index"], face[np.newaxis])
    begun = time.perf_counter()
    network.invoke()
    return 1000 * (time.perf_counter() - begun)


def machine() -> str:
    """The processor and the runtime that the times are from."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()}, {interpreter.runtime_name()}"
