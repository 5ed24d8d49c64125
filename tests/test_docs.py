"""What the documentation tells people to type exists: each command of ours in a ```bash block, and each linked file."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from contextlib import closing
from functools import cache
from itertools import takewhile
from pathlib import Path

import pytest

from edge import config
from edge.record import Recorder
from edge.store import Store
from tests.test_record import EVENT

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MODULES = {"edge", "train", "quantize", "benchmarks"}
QUICK = {"--version", "--help", "models"}
"""First words of `emotion-edge` that need nothing but the checkout, so that they are run as they stand."""

THEIRS = {"apt", "apt-get", "journalctl", "systemctl", "nano", "cp", "install"}
"""Programs whose arguments are names of ours."""


def pages(pattern: str) -> list[tuple[str, str]]:
    """(page, match) for all that `pattern` finds, each once."""
    found = [
        (str(page.relative_to(ROOT)), each) for page in PAGES for each in re.findall(pattern, page.read_text(), re.S)
    ]
    return list(dict.fromkeys(found))


def command_lines() -> list[tuple[str, str]]:
    """(page, command) for each command in a ```bash block, without comments, joined lines joined."""
    return [
        (page, command.strip())
        for page, block in pages(r"^```bash\n(.*?)^```".replace("^", "(?m:^)"))
        for line in block.replace("\\\n", " ").splitlines()
        for command in re.split(r"&&|\||;", line.split(" #")[0])
        if command.strip() and not command.startswith("#")
    ]


def ours(command: str) -> list[str]:
    """The words of a command of ours, from `scripts/NAME` or the module's name on; none for other programs."""
    words = shlex.split(command)
    words = words[1:] if words[0] == "sudo" else words
    if words[0] in THEIRS:
        return []
    for number, word in enumerate(words):
        if word.startswith("scripts/") or word == ".ci/run":
            return words[number:]
        if Path(word).name == "emotion-edge" and not words[0].endswith("pip"):
            return ["edge", *words[number + 1 :]]
        if word == "-m" and words[number + 1 : number + 2] and words[number + 1] in MODULES:
            return words[number + 1 :]
    return []


COMMANDS = [(page, words) for page, command in command_lines() if (words := ours(command))]
TYPED = pytest.mark.parametrize(
    ("page", "words"), [pytest.param(page, words, id=f"{page}: {' '.join(words)}") for page, words in COMMANDS]
)


@cache
def run(*words: str) -> "subprocess.CompletedProcess[str]":
    """`python -m` with these words."""
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run([sys.executable, "-m", *words], cwd=ROOT, env=environment, capture_output=True, text=True)


def options_of(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", text))


def test_the_readme_and_contributing_name_commands_of_ours() -> None:
    assert {"README.md", "CONTRIBUTING.md"} <= {page for page, _ in COMMANDS}


@TYPED
def test_a_documented_command_exists_with_its_subcommand_and_options(page: str, words: list[str]) -> None:
    if words[0] not in MODULES:
        script = ROOT / words[0]
        assert os.access(script, os.X_OK), f"{page}: {words[0]} is no script of ours"
        text = script.read_text()
    else:
        subcommands = takewhile(re.compile(r"[a-z]+").fullmatch, words[1:])
        helped = run(words[0], *subcommands, "--help")
        assert helped.returncode == 0, f"{page}: {helped.stderr}"
        text = helped.stdout
    typed = {word.split("=")[0] for word in words[1:] if word.startswith("-") and not re.fullmatch(r"-\d*", word)}
    assert typed - {"--help", "--version"} <= options_of(text), page


@TYPED
def test_a_documented_setup_is_one_that_it_makes(page: str, words: list[str]) -> None:
    if words[0] == "scripts/setup":
        assert words[1:] in ([], ["device"], ["dev"], ["train"]), page


@TYPED
def test_a_documented_command_that_needs_nothing_works_as_it_stands(page: str, words: list[str]) -> None:
    if words[0] == "edge" and words[1:] and words[1] in QUICK:
        done = run(*words)
        assert done.returncode == 0, f"{page}: {done.stderr}"


@pytest.mark.parametrize(("page", "names"), pages(r"(?:emotion-edge|\.)\[([\w,]+)\]"))
def test_a_documented_extra_is_one_that_pip_can_install(page: str, names: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(names.split(",")) <= set(extras), page


@pytest.mark.parametrize(("page", "link"), pages(r"\]\(([^)#:\s]+)[^)]*\)"))
def test_a_linked_file_is_there(page: str, link: str) -> None:
    assert ((ROOT / page).parent / link).exists()


SHOWN = "".join((ROOT / "docs" / page).read_text() for page in ("capabilities.md", "proven.md", "reliability.md"))


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", SHOWN))))
def test_a_test_that_shows_a_capability_is_there(name: str) -> None:
    assert any(f"def {name}(" in path.read_text() for path in (ROOT / "tests").glob("test_*.py"))


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(tests/\w+\.py)`", SHOWN))))
def test_a_file_of_tests_that_a_page_names_is_there(name: str) -> None:
    assert (ROOT / name).is_file()


@pytest.mark.parametrize(("page", "block"), pages(r"(?m:^)```toml\n(.*?)(?m:^)```"))
def test_documented_settings_are_settings(page: str, block: str) -> None:
    config.build(config.Settings, tomllib.loads(block))


INSTALL = "docs/install-raspberry-pi.md"
AT_HOME = [words for page, words in COMMANDS if page == INSTALL and words[0] == "edge"]
UNIT = (ROOT / "systemd" / "emotion-edge.service").read_text()


@pytest.mark.parametrize("words", AT_HOME, ids=" ".join)
def test_a_command_of_ours_for_the_raspberry_pi_works_here(words: list[str], tmp_path: Path) -> None:
    """With the settings that ship, a record of a moment ago, and without waiting for more."""
    places = {"/etc/emotion-edge": str(ROOT / "systemd"), "/var/lib/emotion-edge": str(tmp_path)}
    for device, here in places.items():
        words = [word.replace(device, here) for word in words]
    with closing(Store(config.Store(tmp_path / "events.db"))) as store:
        Recorder("device", "model", [store]).write(EVENT)
    done = run(*(word for word in words if word != "--follow"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_commands_for_the_raspberry_pi_are_the_usual_ones() -> None:
    assert {"cameras", "doctor", "events"} <= {words[1] for words in AT_HOME}


@pytest.mark.parametrize(("page", "secret"), pages(r"/run/credentials/emotion-edge\.service/([\w-]+)"))
def test_a_documented_secret_is_one_that_systemd_hands_to_the_service(page: str, secret: str) -> None:
    assert f"LoadCredential={secret}:/etc/emotion-edge/{secret}\n" in UNIT, page


@pytest.mark.parametrize(("page", "package"), pages(r"(emotion-edge_[\w.+~]+?\.deb)"))
def test_a_documented_package_has_a_name_as_they_are_built(page: str, package: str) -> None:
    assert re.fullmatch(r"emotion-edge_\d+\.\d+\.\d+\+py3(1[1-3])_(arm64|amd64)\.deb", package), page
