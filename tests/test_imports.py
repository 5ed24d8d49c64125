"""Who may import whom (docs/architecture.md, section 2), and that a device needs no TensorFlow."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"edge", "train", "quantize", "benchmarks", "tests"}
CONTRACT = {"edge.contract", "edge.errors", "edge.whole"}  # and what it raises, and how files are written
DETECTION = {"edge.config", "edge.faces", "edge.perceive", "edge.scene", "edge.sources.folder"}  # photos, and faces
WORKBENCH = {
    f"train.{each}" for each in ("checkpoint", "data", "importers", "metrics", "networks", "recipe", "robustness")
}
ALLOWED = {
    "edge": {"edge"},
    "train": {"train"} | CONTRACT,
    "train/extract.py": {"train", *DETECTION} | CONTRACT,
    "train/checks.py": {"train", *DETECTION} | CONTRACT,
    "train/models.py": {"train", "edge.classifier"} | CONTRACT,
    "train/speed.py": {"train", "edge.interpreter"} | CONTRACT,
    "quantize": {"quantize", *WORKBENCH, "edge.classifier", "edge.config", "edge.interpreter"} | CONTRACT,
    "edge/errors.py": set(),
    "edge/slot.py": set(),
    "edge/contract.py": {"edge.errors"},
    "edge/config.py": {"edge.errors"},
    "edge/scene.py": {"edge.contract"},
    "edge/track.py": {"edge.scene", "edge.config"},
}
"""A package, or one of its modules, and what of ours it may import: these modules and all within them."""
HEAVY = {"numpy", "cv2", "ai_edge_litert", "tflite_runtime"}
UNASKED = {
    *("paho", "starlette", "uvicorn", "prometheus_client", "sqlite3", "ssl", "asyncio", "http", "email"),
    *("tqdm", "importlib.metadata", "multiprocessing", "matplotlib", "pyarrow", "edge.page", "edge.mqtt", "edge.store"),
    *("edge.recording", "edge.window", "edge.probe", "edge.doctor"),
}
"""What a run without a page, a broker, a record and a screen has no use for: each takes time and memory."""
FOREIGN = ["tensorflow", "keras", "torch", "mediapipe", "pygame"]


def modules(*folders: str) -> list[str]:
    """The Python files below these folders, as paths relative to the checkout."""
    return sorted(str(path.relative_to(ROOT)) for each in folders for path in (ROOT / each).rglob("*.py"))


def imports(module: str, source: str) -> Iterator[str]:
    """Our modules that `source` imports anywhere in it, `from edge import config` as edge.config."""
    package = Path(module).parent.parts
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else ()
            base = ".".join([*start, *([node.module] if node.module else [])])
            names = [f"{base}.{each.name}" if is_module(f"{base}.{each.name}") else base for each in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] in OURS)


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def forbidden(module: str, source: str) -> list[str]:
    """The imports of `module` that the table does not allow."""
    allowed = ALLOWED.get(module, ALLOWED[module.split("/")[0]])
    return [name for name in imports(module, source) if not any(f"{name}.".startswith(f"{each}.") for each in allowed)]


@pytest.mark.parametrize("module", modules("edge", "train", "quantize"))
def test_a_module_imports_only_what_the_architecture_allows(module: str) -> None:
    assert forbidden(module, (ROOT / module).read_text()) == []


@pytest.mark.parametrize("module", modules("edge", "train", "quantize", "benchmarks"))
def test_only_the_entry_point_imports_the_command_line(module: str) -> None:
    found = "edge.cli" in imports(module, (ROOT / module).read_text())
    assert found == (module == "edge/__main__.py")


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("edge/track.py", "import train.data"),
        ("edge/sources/demo.py", "def late():\n    from train import data"),
        ("edge/slot.py", "from . import errors"),
        ("edge/scene.py", "from .config import Settings"),
        ("edge/sources/demo.py", "from ...train import data"),
        ("train/fit.py", "from edge.classifier import Classifier"),
        ("train/fit.py", "from edge import config"),
        ("quantize/card.py", "from train.fit import Recipe"),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str) -> None:
    assert forbidden(module, source) != []


@pytest.mark.parametrize("started", ["edge.cli", "edge.run", "edge.doctor", "edge.photos"])
def test_the_device_starts_without_tensorflow_mediapipe_or_a_window(started: str) -> None:
    ask = f"import sys, {started}; print([name for name in {FOREIGN!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"


def loaded(*words: str) -> set[str]:
    """The modules that a Python with these words imports, and the packages that they are in."""
    done = subprocess.run([sys.executable, "-X", "importtime", *words], cwd=ROOT, capture_output=True, check=True)
    said = (line.split(b"|") for line in done.stderr.splitlines() if line.startswith(b"import time:"))
    parts = [fields[-1].strip().decode().split(".") for fields in said]
    return {".".join(each[:depth]) for each in parts for depth in range(1, len(each) + 1)}


def test_the_command_line_alone_loads_no_heavy_library() -> None:
    found = loaded("-c", "import edge.cli")
    assert "edge.cli" in found
    assert found & (HEAVY | UNASKED) == set()


def test_a_run_loads_only_what_it_was_asked_for() -> None:
    found = loaded("-m", "edge", "run", "--source", "edge/assets/astronaut.jpg")
    assert {"edge.run", "numpy", "cv2"} <= found
    assert found & UNASKED == set()
