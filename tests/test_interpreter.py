"""The interpreter: which one, and what it makes of files that are no networks."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge import interpreter
from edge.errors import EmotionEdgeError, ModelError
from edge.faces.networks import NETWORKS

NETWORK = NETWORKS["short"].read()
RANDOM = np.random.default_rng(7).bytes(5000)


@pytest.fixture
def forgotten() -> Iterator[None]:
    """The choice of a runtime is made anew, in the test and after it."""
    interpreter._runtime.cache_clear()
    yield
    interpreter._runtime.cache_clear()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="zero bytes"),
        pytest.param(b"x", id="one byte"),
        pytest.param(NETWORK[:8], id="header only"),
        pytest.param(NETWORK[:-100], id="last bytes lost"),
        pytest.param(NETWORK[: len(NETWORK) // 2], id="cut in the middle"),
        pytest.param(NETWORK[len(NETWORK) // 2 :], id="first half lost"),
        pytest.param(RANDOM, id="random"),
        pytest.param(NETWORK[:4] + b"TFL3" + RANDOM, id="random behind a good header"),
        pytest.param(b"\x00" * len(NETWORK), id="zeros"),
    ],
)
def test_bytes_that_are_no_network_are_refused_in_one_line_that_names_them(content: bytes) -> None:
    with pytest.raises(ModelError) as refused:
        interpreter.load(content, 1, "some/model.tflite")
    message = str(refused.value)
    assert message.startswith(f"some/model.tflite: {len(content)} bytes") and "\n" not in message


def test_a_network_cut_anywhere_is_refused() -> None:
    for length in range(0, len(NETWORK), len(NETWORK) // 40):
        with pytest.raises(ModelError):
            interpreter.load(NETWORK[:length], 1, "cut")


def test_a_network_that_asks_for_a_tensor_that_it_has_not_is_refused() -> None:
    content = bytearray(NETWORK)
    content[207392] = 255  # one of the inputs of an operation
    with pytest.raises(ModelError, match=r"some\.tflite: .*Invalid tensor index 255"):
        interpreter.load(bytes(content), 1, "some.tflite")


def test_a_network_is_loaded_with_its_tensors_allocated_and_runs() -> None:
    loaded = interpreter.load(NETWORK, 1, "short range")
    given, outputs = loaded.get_input_details()[0], loaded.get_output_details()
    loaded.set_tensor(given["index"], np.zeros(given["shape"], np.float32))
    loaded.invoke()
    assert {loaded.get_tensor(each["index"]).shape for each in outputs} == {(1, 896, 16), (1, 896, 1)}
    assert all(np.isfinite(loaded.get_tensor(each["index"])).all() for each in outputs)


def test_the_runtime_is_named_with_its_version() -> None:
    assert re.fullmatch(r"(ai_edge_litert|tflite_runtime|tensorflow) \d+\.\d+\S*", interpreter.runtime_name())


@pytest.mark.usefixtures("forgotten")
def test_a_runtime_that_is_not_installed_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    found = next(path for path in interpreter.RUNTIMES if interpreter.runtime_name().split()[0] in path)
    interpreter._runtime.cache_clear()
    monkeypatch.setattr(interpreter, "RUNTIMES", ("edge_has_no_such.interpreter", found))
    assert interpreter.load(NETWORK, 1, "short range").get_input_details()


@pytest.mark.usefixtures("forgotten")
def test_without_any_runtime_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in interpreter.RUNTIMES:
        monkeypatch.setitem(sys.modules, path, None)
    with pytest.raises(EmotionEdgeError, match=r"\(tried ai_edge_litert, .*\): pip install ai-edge-litert$"):
        interpreter.load(NETWORK, 1, "short range")


@pytest.mark.usefixtures("forgotten")
def test_a_runtime_that_does_not_start_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "edge_broken_runtime.py").write_text("raise ImportError('libm.so.9: cannot open\\nand more')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(interpreter, "RUNTIMES", ("edge_broken_runtime",))
    with pytest.raises(EmotionEdgeError, match=r"\(edge_broken_runtime: libm\.so\.9: cannot open\): pip install"):
        interpreter.runtime_name()


def test_no_runtime_is_imported_before_it_is_used() -> None:
    code = (
        "import sys, edge.interpreter, edge.faces\n"
        "print(*{name.partition('.')[0] for name in sys.modules}"
        " & {'ai_edge_litert', 'tflite_runtime', 'tensorflow', 'mediapipe'})"
    )
    run = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
