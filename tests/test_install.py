"""systemd/install.sh on a whole system without a network: a checkout and a folder of wheels become a service."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import machines, packages
from tests.machines import Machine

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

ROOT = packages.ROOT
INSTALL = "/srv/checkout/systemd/install.sh"
WITH_WHEELS = f"{INSTALL} --wheels /srv/wheels 2>&1"
CHECKOUT = "edge", "systemd", "requirements", "pyproject.toml", "README.md", "LICENSE", "NOTICE"


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Machine]:
    """A booted Bookworm with Python's venv, a checkout and wheels, and no network."""
    with machines.boot(machines.root("bookworm", packages=["python3-venv"])) as machine:
        for name in CHECKOUT:
            machine.put(ROOT / name, f"/srv/checkout/{name}")
        machine.put(packages.wheels("bookworm"), "/srv/wheels")
        yield machine


def version(machine: Machine) -> str:
    """Of the service that runs; AssertionError if it does not."""
    assert machine.property("emotion-edge", "ActiveState") == "active"
    process = machine.property("emotion-edge", "MainPID")
    said = machine.journal("emotion-edge", f"_PID={process}", "--output=cat")
    return said.split("start version=")[1].split()[0]


def next_version(machine: Machine, number: str) -> None:
    """The checkout becomes that of another version."""
    for name in ("pyproject.toml", "edge/__init__.py"):
        path = machine.disk / "srv" / "checkout" / name
        now = packages.version()
        path.write_text(path.read_text().replace(f'version__ = "{now}"', f'version__ = "{number}"'))
        path.write_text(path.read_text().replace(f'\nversion = "{now}"', f'\nversion = "{number}"'))


def test_a_version_is_tested_before_it_takes_over_and_the_one_before_can_be_had_again(device: Machine) -> None:
    said = device.shell(WITH_WHEELS)
    assert "sudo systemctl enable --now emotion-edge" in said
    device.shell("sed -i 's/^source = .*/source = \"demo\"\\nrepeat = true/' /etc/emotion-edge/edge.toml")
    device.run("systemctl", "enable", "--now", "emotion-edge")
    first, process = version(device), device.property("emotion-edge", "MainPID")

    model = device.disk / "srv/checkout/edge/models/emotion-8.tflite"
    whole = model.read_bytes()
    model.write_bytes(whole[:1000])
    said = device.shell(WITH_WHEELS, check=False)
    assert "does not run here, what was installed goes on: " in said and "emotion-8" in said
    assert device.property("emotion-edge", "MainPID") == process

    model.write_bytes(whole)
    next_version(device, "9.0")
    device.shell(WITH_WHEELS)
    assert version(device) == "9.0"
    device.shell(f"{INSTALL} --rollback")
    assert version(device) == first
    device.shell(f"{INSTALL} --uninstall")
    assert device.shell("ls /etc/emotion-edge").split() == ["edge.toml"]
    device.shell(f"{INSTALL} --purge")
    left = "find / -xdev -name '*emotion*edge*' -not -path '/srv/*' -not -path '/proc/*'; grep emotion /etc/passwd"
    assert device.shell(left, check=False) == ""


def test_what_is_missing_is_said_in_one_line(device: Machine) -> None:
    refused = device.shell(f"{INSTALL} --wheels /srv/none 2>&1; echo code $?")
    assert refused == "systemd/install.sh: /srv/none is no folder: expected one with wheels\ncode 2\n"
    refused = device.shell(f"{INSTALL} --rollback 2>&1; echo code $?")
    assert "there is no version before" in refused and "code 2" in refused
    refused = device.shell(f"runuser -u nobody -- {INSTALL} 2>&1; echo code $?")
    assert "this needs root: sudo systemd/install.sh" in refused and "code 2" in refused
    shutil.rmtree(device.disk / "usr/lib/python3.11/ensurepip")
    refused = device.shell(f"{WITH_WHEELS}; echo code $?")
    assert refused == (
        "systemd/install.sh: Python's venv is missing: sudo apt install python3-venv, then run this again\ncode 2\n"
    )
