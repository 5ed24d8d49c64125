"""From a data set to a device file in one command: the steps that a person would type, one after the other."""

import shlex
import subprocess
import sys
from pathlib import Path

from edge.errors import SettingsError


def build(data: list[Path], out: Path, name: str, head: str, settings: list[str], gate: list[str]) -> int:
    """Run the steps, each printed before it starts; the exit code of the first that fails, else 0.

    A second call goes on where an interrupted one stopped. SettingsError if `out` is a file.
    """
    if out.exists() and not out.is_dir():
        raise SettingsError(f"{out}: a file: expected a folder, or nothing yet")
    out.mkdir(parents=True, exist_ok=True)
    for step in steps(data, out, name, head, settings, gate):
        print(f"\n$ python -m {shlex.join(step)}", flush=True)
        done = subprocess.run([sys.executable, "-m", *step])
        if done.returncode:
            return done.returncode
    return 0


def steps(data: list[Path], out: Path, name: str, head: str, settings: list[str], gate: list[str]) -> list[list[str]]:
    """What follows `python -m` for each step."""
    manifest, run = f"--data={out / 'manifest.parquet'}", str(out / "run")
    given, sets = [f"--data={each}" for each in data], [f"--set={each}" for each in settings]
    reports, file = str(out / "reports"), str(out / f"{name}.tflite")
    made = ["--out", file, "--reports", reports, "--lists", str(out), "--serving", str(out / "serving")]
    return [
        ["train", "import", *given, "--out", str(out / "manifest.parquet")],
        ["train", "audit", manifest, "--out", str(out / "audit")],
        ["train", "fit", manifest, "--run", run, "--exclude", str(out / "audit" / "audit.csv"), *sets],
        ["train", "evaluate", manifest, "--model", run, "--truth", head, "--out", reports],
        ["quantize", manifest, "--run", run, "--head", head, *made, *gate],
        ["train", "index", reports, "--out", str(out / "reports" / "index")],
    ]
