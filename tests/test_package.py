"""The Debian package on whole systems without a network: installed, upgraded, refused, removed."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge import config
from edge.errors import EmotionEdgeError
from edge.privacy import refuse_unstated
from tests import machines, packages
from tests.machines import Machine

ROOT = Path(__file__).parents[1]
HOME = "/usr/lib/emotion-edge"
PORTRAIT = f"{HOME}/current/lib/python3.*/site-packages/edge/assets/astronaut.jpg"
SETTINGS = "/etc/emotion-edge/edge.toml"
STORE = "/var/lib/emotion-edge/events.db"
RUNNING = "ActiveState=active"

NOT_OURS = (
    "/dev/",
    "/proc/",
    "/sys/",
    "/run/",
    "/tmp/",
    "/var/tmp/",
    "/srv/",
    "/var/log/",
    "/var/cache/",
    "/var/lib/apt/",
)
"""What changes on a running system whatever is installed; /srv has the packages."""

on_both_releases = pytest.mark.parametrize("release", machines.RELEASES)


def build(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [str(ROOT / "scripts" / "build-deb"), *words]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--arch", "armhf"], "expected --arch amd64 or arm64; there are no wheels for 32 bits"),
        (["--python", "3.10"], "expected --python 3.11, 3.12 or 3.13"),
        (["--arch"], "no package for the architecture none"),
        (["--fast"], "unknown '--fast': expected --arch amd64|arm64 or --python 3.11|3.12|3.13"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(words: list[str], expected: str) -> None:
    refused = build(*words)
    assert refused.returncode == 2 and refused.stdout == ""
    assert expected in refused.stderr and refused.stderr.count("\n") == 1


def test_a_computer_without_dpkg_is_told_what_to_install(tmp_path: Path) -> None:
    for name in ("bash", "dirname", "env"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    refused = build(PATH=str(tmp_path))
    assert refused.returncode == 2
    assert refused.stderr == (
        "scripts/build-deb: dpkg-deb is not installed: sudo apt install dpkg python3-venv, then run this again\n"
    )


def test_the_settings_of_the_package_keep_events_and_open_no_camera_unasked() -> None:
    settings = config.read(ROOT / "systemd" / "debian" / "edge.toml")
    assert settings.store.path == Path(STORE)
    assert settings.camera.source == "0"
    with pytest.raises(EmotionEdgeError, match="context"):
        refuse_unstated(settings)


class Device:
    """A machine, and what its owner does there."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.run, self.shell = machine, machine.run, machine.shell

    def apt(self, package: Path, check: bool = True) -> str:
        """Install a package as its users do; what they see."""
        self.machine.put(package, "/srv/emotion-edge.deb")
        return self.shell("apt-get install --yes --allow-downgrades /srv/emotion-edge.deb 2>&1", check=check)

    def watch_the_demo(self) -> str:
        """Set the demo as source and start the service; its process."""
        self.shell(f"sed -i 's/^source = .*/source = \"demo\"\\nrepeat = true/' {SETTINGS}")
        self.run("systemctl", "enable", "--now", "emotion-edge")
        return self.process()

    def process(self) -> str:
        """Number of the service's process; AssertionError if it does not run."""
        said = self.run("systemctl", "show", "emotion-edge", "--property=ActiveState,MainPID")
        assert RUNNING in said, self.shell("systemctl status emotion-edge --no-pager", check=False)
        return said.split("MainPID=")[1].split()[0]

    def version(self) -> str:
        """Of the command, and of the service, which must be the same."""
        command = self.run("emotion-edge", "--version").split()[1]
        log = self.machine.journal("emotion-edge", f"_PID={self.process()}", "--output=cat")
        assert f"start version={command} " in log
        return command

    def events(self) -> list[str]:
        """What is in the record."""
        return self.run("emotion-edge", "events", "list", "--store", STORE).splitlines()

    def until_an_event(self) -> list[str]:
        self.machine.until("happy", "emotion-edge", "events", "list", "--store", STORE)
        return self.events()

    def files(self) -> dict[str, str]:
        """Each path with what is at it: kind, size, owner; of users the lines themselves."""
        listed = self.shell("find / -xdev -printf '%p\\t%y %s %u %m\\n'").splitlines()
        found = dict(line.split("\t") for line in listed if not line.startswith(NOT_OURS))
        named = self.shell("cat /etc/passwd /etc/group /etc/shadow /etc/gshadow")
        return {path: what for path, what in found.items() if not what.startswith("d")} | {"users": named}


@pytest.fixture
def device(release: str) -> Iterator[Device]:
    """A booted Debian without a network, with nothing of ours."""
    with machines.boot(machines.root(release)) as machine:
        yield Device(machine)


def lasting(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Paths whose content may have changed in between, but those of the system's own books."""
    books = "/var/lib/dpkg/", "/etc/.pwd.lock", "/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-"
    changed = [path for path in before.keys() | after.keys() if before.get(path) != after.get(path)]
    return sorted(path for path in changed if not path.startswith(books) and path != "/var/lib/systemd/random-seed")


@pytest.mark.long
@pytest.mark.timeout(600)
@on_both_releases
def test_installed_without_a_network_it_reads_a_portrait_and_a_purge_leaves_nothing(
    device: Device, release: str
) -> None:
    before = device.files()
    said = device.apt(packages.deb(release))
    assert "watches nobody yet" in said and "sudo systemctl enable --now emotion-edge" in said
    assert "disabled" in device.shell("systemctl is-enabled emotion-edge", check=False)
    assert "inactive" in device.shell("systemctl is-active emotion-edge", check=False)
    assert "\thappy\t" in device.shell(f"emotion-edge image {PORTRAIT}")
    doctor = device.shell("emotion-edge doctor")
    assert "ok    wheels:" in doctor and "fail" not in doctor
    device.watch_the_demo()
    device.until_an_event()
    device.shell(f"sed 's,/events.db,/kitchen/events.db,' {SETTINGS} > /etc/emotion-edge/kitchen.toml")
    device.run("systemctl", "enable", "--now", "emotion-edge@kitchen")
    device.run("apt-get", "remove", "--yes", "emotion-edge")
    assert device.shell(f"ls {SETTINGS} {STORE}").split() == [SETTINGS, STORE]
    assert "/etc/systemd" not in "".join(device.files().keys() - before.keys())
    device.run("apt-get", "purge", "--yes", "emotion-edge")
    assert lasting(before, device.files()) == []


@pytest.mark.long
@pytest.mark.timeout(600)
@on_both_releases
def test_an_upgrade_and_a_downgrade_keep_settings_events_and_the_service(
    device: Device, release: str, tmp_path: Path
) -> None:
    now = packages.deb(release)
    device.apt(now)
    first, version = device.watch_the_demo(), device.version()
    events = device.until_an_event()
    device.machine.put(packages.changed(now, "9.0", tmp_path), "/srv/next.deb")
    device.run("dpkg", "--unpack", "/srv/next.deb")  # as if the power had failed after this
    assert (device.process(), device.version()) == (first, version)
    device.run("dpkg", "--configure", "--pending")
    assert device.version() == "9.0" and device.process() != first
    device.apt(now)
    assert device.version() == version
    assert device.events()[: len(events)] == events
    assert 'source = "demo"' in device.shell(f"cat {SETTINGS}")
    assert device.shell(f"ls {HOME}").split() == ["current", "program"]


def without_a_wheel(files: Path) -> None:
    """A package as it comes from a build that lost one of its parts."""
    for folder in files.glob(f".{HOME}/program/lib/*/site-packages/uvicorn*"):
        shutil.rmtree(folder)


def with_a_narrower_bound(files: Path) -> None:
    """A package that refuses a setting which was good before: frozen_seconds up to 60."""
    (source,) = files.glob(f".{HOME}/program/lib/*/site-packages/edge/config.py")
    before = source.read_text()
    source.write_text(before.replace("self.frozen_seconds, 0, 60)", "self.frozen_seconds, 0, 5)"))
    assert source.read_text() != before


def without_a_start(files: Path) -> None:
    """A package whose service ends before it is ready, as one does that cannot read an older record."""
    (source,) = files.glob(f".{HOME}/program/lib/*/site-packages/edge/run.py")
    source.write_text(
        source.read_text().replace(
            "def run(wishes: Wishes) -> None:", "def run(wishes: Wishes) -> None:\n    os._exit(2)"
        )
    )
    (unit,) = files.glob(f".{HOME}/program/systemd/emotion-edge.service")
    for path in (unit, files / "usr/lib/systemd/system/emotion-edge.service"):
        path.write_text(unit.read_text().replace("TasksMax=64", "TasksMax=65"))


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("release", ["bookworm"])
def test_a_version_that_does_not_run_here_is_refused_and_the_one_before_goes_on_undisturbed(
    device: Device, release: str, tmp_path: Path
) -> None:
    now = packages.deb(release)
    device.apt(now)
    first, version = device.watch_the_demo(), device.version()
    said = device.apt(packages.changed(now, "9.0", tmp_path, without_a_wheel), check=False)
    assert "emotion-edge: version 9.0 is refused, the one before goes on: uvicorn is missing from the package" in said
    assert "E: Sub-process /usr/bin/dpkg returned an error code (1)" in said
    assert (device.process(), device.version()) == (first, version)
    assert "is refused" in device.shell("dpkg --configure --pending 2>&1", check=False)
    assert (device.process(), device.version()) == (first, version)
    device.shell(f"sed -i 's/^repeat/frozen_seconds = 9\\n&/' {SETTINGS}")
    said = device.apt(packages.changed(now, "9.1", tmp_path, with_a_narrower_bound), check=False)
    assert "9.1 is refused" in said and "frozen_seconds" in said and SETTINGS in said
    assert (device.process(), device.version()) == (first, version)
    device.shell(f"sed -i /^frozen_seconds/d {SETTINGS}")
    device.run("dpkg", "--configure", "emotion-edge")
    assert device.version() == "9.1"
    assert device.shell(f"ls {HOME}").split() == ["current", "program"]


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("release", ["trixie"])
def test_a_version_whose_service_does_not_start_gives_way_to_the_one_before(
    device: Device, release: str, tmp_path: Path
) -> None:
    now = packages.deb(release)
    device.apt(now)
    device.watch_the_demo()
    version, events = device.version(), device.until_an_event()
    said = device.apt(packages.changed(now, "9.0", tmp_path, without_a_start), check=False)
    assert "9.0 is refused, the one before goes on: the service did not start, see journalctl -u emotion-edge" in said
    assert device.version() == version
    assert device.machine.property("emotion-edge", "TasksMax") == "64"
    assert device.events()[: len(events)] == events
    device.apt(packages.changed(now, "9.1", tmp_path))
    assert device.version() == "9.1"
    device.run("apt-get", "purge", "--yes", "emotion-edge")
    assert "emotion" not in "".join(path for path in device.files() if not path.startswith("/var/lib/dpkg/"))


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("release", ["trixie"])
def test_an_installation_that_was_killed_is_finished_by_the_next(device: Device, release: str) -> None:
    device.machine.put(packages.deb(release), "/srv/emotion-edge.deb")
    killed = "dpkg --unpack /srv/emotion-edge.deb & until ls /usr/lib/emotion-edge; do :; done; kill -9 $!"
    device.shell(killed, check=False)
    assert "emotion-edge" not in device.shell("ls /usr/bin /usr/lib/emotion-edge/current", check=False).split()
    device.shell("dpkg --configure --pending", check=False)  # as apt asks
    device.run("apt-get", "install", "--yes", "/srv/emotion-edge.deb")
    device.watch_the_demo()
    device.until_an_event()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_numpy_of_apt_stays_out_of_the_program_and_ours_out_of_the_system() -> None:
    with machines.boot(machines.root("bookworm", packages=["python3-numpy"])) as machine:
        device, ask = Device(machine), "import numpy; print(numpy.__version__, numpy.__file__)"
        system = device.run("/usr/bin/python3", "-c", ask)
        device.apt(packages.deb("bookworm"))
        ours = device.run(f"{HOME}/current/bin/python", "-c", ask)
        assert device.run("/usr/bin/python3", "-c", ask) == system
        assert "/usr/lib/python3/dist-packages" in system and HOME in ours
        assert system.split()[0] < "2" <= ours.split()[0]


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("release", ["bookworm"])
def test_the_file_for_another_python_is_refused_by_apt(device: Device, release: str) -> None:
    said = device.apt(packages.deb("trixie"), check=False)
    assert "emotion-edge : Depends: python3 (>= 3.13) but 3.11" in said
    assert "emotion-edge" not in device.shell("ls /usr/lib").split()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    built = packages.deb("trixie")
    clone = tmp_path / "clone"
    for name in (*packages.PARTS, "README.md", "LICENSE", "NOTICE", ".gitignore"):
        source, target = ROOT / name, clone / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), copy_function=shutil.copyfile)
        else:
            shutil.copy(source, target)
    for script in ("preinst", "postinst", "prerm", "postrm"):
        (clone / "systemd" / "debian" / script).chmod(0o700)
    command = [str(clone / "scripts" / "build-deb"), "--arch", "amd64", "--python", "3.13"]
    subprocess.run(command, env={**os.environ, **packages.DATED}, check=True, capture_output=True)
    (again,) = (clone / "dist").iterdir()
    assert again.read_bytes() == built.read_bytes()
