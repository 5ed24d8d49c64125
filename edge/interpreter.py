"""The one door to the TFLite interpreter: ai_edge_litert, else tflite_runtime, else tensorflow.lite."""

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.errors import EmotionEdgeError, ModelError

RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter", "tensorflow.lite.python.interpreter")
"""Modules that have an `Interpreter`, the preferred first. None is imported before the first model is loaded."""


class Interpreter(Protocol):
    """What we use of a TFLite interpreter; a tensor is named by the `index` in its details."""

    def allocate_tensors(self) -> None: ...

    def get_input_details(self) -> list[dict[str, Any]]: ...

    def get_output_details(self) -> list[dict[str, Any]]: ...

    def set_tensor(self, tensor_index: int, value: NDArray[Any]) -> None: ...

    def get_tensor(self, tensor_index: int) -> NDArray[Any]: ...

    def tensor(self, tensor_index: int) -> Callable[[], NDArray[Any]]:
        """A function that gives the tensor's own memory; no array of it may live when `invoke` is called."""
        ...

    def invoke(self) -> None: ...


def load(content: bytes, threads: int, where: str) -> Interpreter:
    """An interpreter for the bytes of a `.tflite` file, its tensors allocated.

    ModelError, naming `where`, for bytes that are no network; EmotionEdgeError if no runtime is installed, or it
    does not go with this numpy. Compare a hash first: of networks with one wrong byte many load and talk nonsense,
    and a few crash the process (3 of 400 under ai_edge_litert 2.3; tflite_runtime 2.14 crashes at cut files too).
    """
    runtime, name = _runtime()
    try:
        loaded: Interpreter = runtime.Interpreter(model_content=content, num_threads=threads)
        loaded.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = _first_line(error)
        raise ModelError(
            f"{where}: {len(content)} bytes that {name} refuses ({reason}): "
            "expected an undamaged .tflite file; copy it again"
        ) from error
    except SystemError as error:  # how tflite-runtime 2.14 meets numpy 2
        raise EmotionEdgeError(
            f"{name} does not work with numpy {np.__version__} ({_first_line(error.__cause__ or error)}): "
            "pip install ai-edge-litert"
        ) from error
    return loaded


def runtime_name() -> str:
    """Which runtime is used and its version, as "ai_edge_litert 2.3.0"; EmotionEdgeError if there is none."""
    return _runtime()[1]


@cache
def _runtime() -> tuple[Any, str]:
    """The module that has `Interpreter`, and its name with version."""
    broken = []
    for path in RUNTIMES:
        package = path.partition(".")[0]
        try:
            module, version = importlib.import_module(path), importlib.import_module(package).__version__
        except ModuleNotFoundError:
            continue
        except ImportError as error:
            broken.append(f"{package}: {_first_line(error)}")
            continue
        return module, f"{package} {version}"
    found = "; ".join(broken) or "tried " + ", ".join(path.partition(".")[0] for path in RUNTIMES)
    raise EmotionEdgeError(f"no TFLite interpreter ({found}): pip install ai-edge-litert")


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
