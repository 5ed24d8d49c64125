"""How a module of ours is started in a Python of its own: the one that runs us, or the system's."""

import os
import sys
from pathlib import Path

SYSTEM_PYTHON = "/usr/bin/python3"
"""It has what apt installed, libcamera and picamera2 among them, and a numpy that is not ours."""

PACKAGE = Path(__file__).parent

ALONE = """
import runpy, sys
from importlib.util import module_from_spec, spec_from_file_location
folder = sys.argv.pop(1)
spec = spec_from_file_location("edge", folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules["edge"] = module_from_spec(spec)
spec.loader.exec_module(sys.modules["edge"])
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""
"""Makes our package known without the folder that it lies in, where our numpy lies, too."""


def command(module: str, *words: str, python: str | None = None) -> list[str]:
    """The command that runs `module` with these arguments; its environment is what `environment` says.

    In another Python than ours it may import our package, and besides only what that Python has of its own.
    """
    if python not in (None, sys.executable):
        return [python, "-I", "-c", ALONE, str(PACKAGE), module, *words]
    # -P and our own path: else a folder `edge` in the folder where we were started would be taken for ours.
    return [sys.executable, "-P", "-m", module, *words]


def environment() -> dict[str, str]:
    """Ours, with our path, which another Python does not heed."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
