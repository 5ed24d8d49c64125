"""Debian packages of this checkout: built once for its content, kept, and made into others by a change."""

import fcntl
import hashlib
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.machines import cache

ROOT = Path(__file__).parents[1]

PARTS = (
    "edge",
    "systemd",
    "scripts/build-deb",
    "scripts/lock",
    "requirements/device.txt",
    "pyproject.toml",
    "docs/daemon.md",
)
"""What goes into a package."""

DATED = {"SOURCE_DATE_EPOCH": "1700000000"}
"""So that the same content gives the same package, whatever was committed last."""

PYTHONS = {"trixie": "3.13", "bookworm": "3.11"}


def deb(release: str, architecture: str = "amd64") -> Path:
    """The package of this checkout for a release of Debian; the one of an earlier content is removed."""
    python = PYTHONS[release]
    place = cache() / "packages" / f"{architecture}-{python}"
    place.mkdir(parents=True, exist_ok=True)
    built = place / f"{_content()}.deb"
    with (place.parent / f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.is_file():
            for old in place.iterdir():
                old.unlink()
            _build(architecture, python).rename(built)
    return built


def _build(architecture: str, python: str) -> Path:
    command = [str(ROOT / "scripts" / "build-deb"), "--arch", architecture, "--python", python]
    done = subprocess.run(command, env={**os.environ, **DATED}, capture_output=True, text=True)
    if "is the network there?" in done.stderr:
        pytest.skip("no network to get the packages from")
    assert done.returncode == 0, done.stderr
    return ROOT / done.stdout.split(":")[0]


def _content() -> str:
    files = [path for part in PARTS for path in [ROOT / part, *(ROOT / part).rglob("*")] if path.is_file()]
    told = hashlib.sha256()
    for path in sorted(each for each in files if "__pycache__" not in each.parts):
        told.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return told.hexdigest()[:16]


def version() -> str:
    """Of this checkout."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def changed(package: Path, version: str, folder: Path, change: Callable[[Path], None] = lambda _: None) -> Path:
    """The same package as another version, in `folder`; `change` is given the folder of its files."""
    files = folder / version
    subprocess.run(["dpkg-deb", "--raw-extract", package, files], check=True)
    control = files / "DEBIAN" / "control"
    lines = [
        f"Version: {version}" if line.startswith("Version:") else line for line in control.read_text().splitlines()
    ]
    control.write_text("\n".join([*lines, ""]))
    (init,) = files.glob("usr/lib/emotion-edge/program/lib/*/site-packages/edge/__init__.py")
    source = init.read_text().splitlines()
    init.write_text(
        "\n".join([f'__version__ = "{version}"' if "__version__" in line else line for line in source]) + "\n"
    )
    change(files)
    out = folder / f"{version}.deb"
    subprocess.run(["dpkg-deb", "-Znone", "--root-owner-group", "--build", files, out], check=True, capture_output=True)
    return out


def wheels(release: str) -> Path:
    """A folder with the packages of requirements/device.txt for a release, as a user makes it on another computer."""
    python, lock = PYTHONS[release], ROOT / "requirements" / "device.txt"
    mark = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    place = cache() / "wheels" / f"{python}-{mark}"
    if not place.is_dir():
        partial = place.parent / f"{place.name}.partial"
        platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in (17, 27, 28)]
        abis = [f"--abi={abi}" for abi in (f"cp{python.replace('.', '')}", "abi3", "none")]
        command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--require-hashes", "-r", str(lock)]
        command += ["--only-binary=:all:", f"--python-version={python}", "--dest", str(partial), *platforms, *abis]
        subprocess.run(command, check=True)
        partial.rename(place)
    return place
