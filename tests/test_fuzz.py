"""Thousands of damaged settings files and models: each is refused in one line, or means what it says."""

import random
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from edge import config
from edge.classifier import SHIPPED, Classifier
from edge.config import Settings, read
from edge.errors import ModelError, SettingsError
from tests.test_config import SET, toml

WHOLE = "".join(
    f"[{table}]\n" + "".join(toml(table, *each).split("\n")[1] + "\n" for each in names.items())
    for table, names in SET.items()
)
"""Every setting, as a person could write it."""

CHANCES = list(range(256)), list(b"[]=\"'#.,-0123456789einfatrue\n\0\xff")


def mutated(content: bytes, chance: random.Random) -> bytes:
    """The content after one to five accidents: bytes changed, cut out, doubled, or all beyond a place lost."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(len(changed) + 1)
        length = min(chance.choice((1, 1, 2, 8, 64)), len(changed) - at)
        match chance.randrange(5):
            case 0 | 1:
                changed[at : at + 1] = bytes([chance.choice(chance.choice(CHANCES))])
            case 2:
                del changed[at : at + length]
            case 3:
                changed[at:at] = changed[at : at + length]
            case _:
                if chance.random() < 0.1:
                    del changed[at:]
    return bytes(changed)


def complaint(error: Exception, about: object) -> str:
    """How an error counts: well if it is one line about the file."""
    text = str(error)
    return "refused" if text.startswith(f"{about}: ") and "\n" not in text else f"said {text!r}"


def read_fuzzed(path: Path, times: int, seed: int) -> Counter[str]:
    """What became of so many mutated files."""
    chance, outcomes = random.Random(seed), Counter[str]()
    for _ in range(times):
        content = mutated(WHOLE.encode(), chance)
        path.write_bytes(content)
        try:
            settings = read(path)
        except SettingsError as error:
            outcomes[complaint(error, path)] += 1
        else:
            meant = config.build(Settings, tomllib.loads(content.decode()))
            outcomes["taken" if settings == meant else "misread"] += 1
    return outcomes


def load_fuzzed(times: int, seed: int) -> Counter[str]:
    """What became of so many mutated models, loaded one after the other into this process."""
    whole, chance, outcomes = SHIPPED.read_bytes(), random.Random(seed), Counter[str]()
    card = Classifier.read().card
    for _ in range(times):
        content = mutated(whole, chance)
        try:
            classifier = Classifier(content, "fuzzed.tflite")
        except ModelError as error:
            outcomes[complaint(error, "fuzzed.tflite")] += 1
        else:
            outcomes["the same card" if classifier.card == card else "misread"] += 1
    return outcomes


def test_hundreds_of_damaged_settings_files_are_refused_or_mean_what_they_say(tmp_path):
    outcomes = read_fuzzed(tmp_path / "edge.toml", 500, seed=1)
    assert set(outcomes) == {"refused", "taken"}
    assert outcomes["refused"] > 200 and outcomes["taken"] > 20


def test_hundreds_of_damaged_models_are_refused():
    outcomes = load_fuzzed(200, seed=1)
    assert set(outcomes) <= {"refused", "the same card"}
    assert outcomes["refused"] > 150


@pytest.mark.long
def test_ten_thousand_damaged_settings_files(tmp_path):
    outcomes = read_fuzzed(tmp_path / "edge.toml", 10_000, seed=2)
    assert set(outcomes) == {"refused", "taken"}
    assert outcomes["refused"] > 4_000 and outcomes["taken"] > 400
    assert outcomes.total() == 10_000


@pytest.mark.long
def test_ten_thousand_damaged_models():
    outcomes = load_fuzzed(10_000, seed=2)
    assert set(outcomes) <= {"refused", "the same card"}
    assert outcomes["refused"] > 9_000
    assert outcomes.total() == 10_000
