"""What is installed where: the wheel, the lock files, and the environment that scripts/setup makes."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = ["device", "dev", "train"]
"""From the smallest to the largest."""
ASSETS = sorted([*ROOT.glob("edge/assets/*"), *ROOT.glob("edge/models/*.tflite")])
WHEEL_LIMIT_BYTES = 4_000_000


def clone(folder: Path) -> Path:
    """The parts of the checkout that building and installing look at, copied there."""
    folder.mkdir(exist_ok=True)
    for name in ("edge", "requirements", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".gitignore", "CHANGELOG.md", "LICENSE", "NOTICE", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the real build backend from a fresh clone."""
    source, out = clone(tmp_path_factory.mktemp("clone")), tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=source, capture_output=True, check=True)
    (built,) = out.iterdir()
    return built


def locked(name: str) -> dict[str, str]:
    """Package to version, as a lock file pins them."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^(\S+)==(\S+)", text, re.MULTILINE))


def test_the_wheel_holds_edge_with_its_models_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as files:
        held = {name for name in files.namelist() if ".dist-info/" not in name}
        licences = {Path(name).name for name in files.namelist() if ".dist-info/licenses/" in name}
    expected = {str(path.relative_to(ROOT)) for path in (ROOT / "edge").rglob("*") if path.is_file()}
    assert held == {name for name in expected if "__pycache__" not in name}
    assert {"edge/models/face_detection_short_range.tflite", "edge/assets/astronaut.jpg", "edge/py.typed"} <= held
    assert licences == {"LICENSE", "NOTICE"}
    assert wheel.stat().st_size < WHEEL_LIMIT_BYTES


@pytest.mark.parametrize("path", ASSETS, ids=lambda path: path.name)
def test_notice_names_each_asset_with_its_hash(path: Path) -> None:
    notice = (ROOT / "NOTICE").read_text()
    hashed = hashlib.sha256(path.read_bytes()).hexdigest()
    assert f"{path.relative_to(ROOT)}\n  sha256 {hashed}\n" in notice


def test_the_installed_wheel_runs_from_anywhere_as_the_command_emotion_edge(wheel: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--no-index", "--target", str(tmp_path / "site")]
    subprocess.run([*pip, str(wheel)], check=True)
    command = tmp_path / "site" / "bin" / "emotion-edge"
    run = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(tmp_path / "site")}, "text": True}
    version = subprocess.check_output([command, "--version"], **run)  # type: ignore[call-overload]
    assert version == f"emotion-edge {PROJECT['version']}\n"
    place = subprocess.check_output([sys.executable, "-c", "import edge; print(edge.__file__)"], **run)  # type: ignore[call-overload]
    assert Path(place.strip()) == tmp_path / "site" / "edge" / "__init__.py"


def test_exactly_one_wheel_provides_opencv() -> None:
    assert set(packages_distributions()["cv2"]) == {"opencv-python-headless"}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_one_opencv_and_a_hash_for_everything(lock: str) -> None:
    assert [name for name in locked(lock) if name.startswith("opencv")] == ["opencv-python-headless"]
    pins = re.split(r"^(?=\S+==)", (ROOT / "requirements" / f"{lock}.txt").read_text(), flags=re.MULTILINE)[1:]
    assert [pin.split()[0] for pin in pins if "--hash=sha256:" not in pin] == []


def test_only_the_lock_for_training_has_tensorflow_and_a_device_has_no_mediapipe() -> None:
    assert not {"tensorflow", "keras"} & set(locked("dev"))
    assert "mediapipe" not in locked("device")


def test_each_lock_holds_all_of_the_smaller_one_in_the_same_versions() -> None:
    device, dev, train = map(locked, LOCKS)
    assert device.items() <= dev.items() <= train.items()


@pytest.mark.parametrize(
    ("lock", "extras"), [("device", ["window"]), ("dev", ["dev"]), ("train", ["window", "dev", "train"])]
)
def test_a_lock_satisfies_pyproject(lock: str, extras: list[str]) -> None:
    pinned = locked(lock)
    wanted = PROJECT["dependencies"] + [each for name in extras for each in PROJECT["optional-dependencies"][name]]
    unmet = [
        text
        for text in wanted
        if (need := Requirement(text)).name != PROJECT["name"]
        and not need.specifier.contains(Version(pinned.get(canonicalize_name(need.name), "0")))
    ]
    assert unmet == [], "scripts/lock makes the lock files fit"


def test_the_version_is_said_once_for_people_and_once_for_pip() -> None:
    import edge

    assert edge.__version__ == PROJECT["version"]


def setup(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """scripts/setup of a clone, with this interpreter, from a folder that is not the clone's."""
    return subprocess.run(
        [folder / "scripts" / "setup", *words],
        cwd="/",
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )


def interrupted(folder: Path, sign: str) -> None:
    """Start scripts/setup and kill it and all it started once it says `sign`."""
    with subprocess.Popen(
        [folder / "scripts" / "setup"],
        env={**os.environ, "PYTHON": sys.executable},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        assert any(sign in line for line in process.stderr)
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_setup_works_from_any_folder_and_begins_again_after_an_interruption(tmp_path: Path) -> None:
    folder = clone(tmp_path / "a clone")
    interrupted(folder, "installing requirements/device.txt")
    made = setup(folder)
    assert made.returncode == 0, made.stderr
    assert "making .venv" in made.stderr
    again = setup(folder, "device")
    assert (again.returncode, again.stderr) == (0, "")
    command = folder / ".venv" / "bin" / "emotion-edge"
    assert subprocess.check_output([command, "--version"], text=True) == f"emotion-edge {PROJECT['version']}\n"
    subprocess.run([folder / ".venv" / "bin" / "python", "-m", "pip", "check"], check=True)


def test_setup_leaves_an_environment_alone_that_it_did_not_make(tmp_path: Path) -> None:
    folder = clone(tmp_path)
    mine = folder / ".venv" / "mine"
    mine.parent.mkdir()
    mine.touch()
    refused = setup(folder)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert "move it away" in refused.stderr
    assert mine.exists()


@pytest.mark.parametrize("words", [("nonsense",), ("device", "dev")])
def test_setup_says_what_it_can_make(words: tuple[str, ...], tmp_path: Path) -> None:
    refused = setup(clone(tmp_path), *words)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert "expected device, dev or train" in refused.stderr
