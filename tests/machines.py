"""Whole Debian systems with systemd as their first process: made once by mmdebstrap, booted by systemd-nspawn."""

import fcntl
import hashlib
import os
import secrets
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.notices import PATIENCE_SECONDS, notices

RELEASES = "trixie", "bookworm"
"""Of Debian, and so of Raspberry Pi OS: Python 3.13 with systemd 257, and 3.11 with 252."""

MIRROR = "http://deb.debian.org/debian"

PACKAGES = "systemd-sysv", "python3"
"""What each root has besides what Debian cannot be without."""

COMMAND_SECONDS = 120.0
"""A command inside that takes longer hangs."""

LOOK_SECONDS = 0.1
"""Pause between two looks at a state that nobody tells of."""

CGROUPS = [Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup/unified")]
"""The trees of a host that has version 1 and 2 of them; of one that has 2 alone, it is their parent."""

ENFORCING = "--capability=all", "--system-call-filter=bpf perf_event_open"
"""Without them the device and address limits of a unit are passed over silently: they are BPF programs."""


def cache() -> Path:
    """Where roots are kept; removing it is safe."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "emotion-edge-tests"


def root(release: str, architecture: str = "amd64", packages: Sequence[str] = ()) -> Path:
    """A folder with a Debian system, never to be written to; made once, which takes a minute or two.

    It has PACKAGES and `packages`. Skips where it cannot be made or kept.
    """
    _need("mmdebstrap")
    wanted = sorted({*PACKAGES, *packages})
    mark = hashlib.sha256(" ".join(wanted).encode()).hexdigest()[:8]
    place = cache() / f"{release}-{architecture}-{mark}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at a time make it once
        if not place.is_dir():
            _make(place, release, architecture, wanted)
    return place


def _need(program: str) -> None:
    if os.geteuid() != 0:
        pytest.skip(f"{program} needs root here")
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


def _make(place: Path, release: str, architecture: str, packages: Sequence[str]) -> None:
    whole = place.with_suffix(".partial")
    if whole.exists():  # of a run that was killed
        shutil.rmtree(whole)
    command = [
        *("mmdebstrap", "--quiet", "--variant=minbase", f"--architectures={architecture}"),
        *("--include=" + ",".join(packages), release, str(whole), MIRROR),
    ]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    whole.rename(place)


class Machine:
    """A booted system; `disk` is its file system as seen from here."""

    def __init__(self, disk: Path, name: str) -> None:
        self.disk, self._name = disk, name
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = ""

    def start(self) -> None:
        """Boot, and wait until all units that start at boot have been started, or have failed."""
        groups = [each / self._name for each in CGROUPS if each.is_dir()] or [CGROUPS[0].parent / self._name]
        with (
            TemporaryDirectory(prefix=self._name) as place,
            notices(Path(place) / "notices") as told,
            (self.disk.parent / "console").open("ab") as console,
        ):
            environment = {**os.environ, "NOTIFY_SOCKET": f"{place}/notices", "UNIFIED_CGROUP_HIERARCHY": "1"}
            self._process = subprocess.Popen(
                ["sh", "-c", _in_group(groups[0], self._nspawn())],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env=environment,
            )
            self._leader = told.until("X_NSPAWN_LEADER_PID")["X_NSPAWN_LEADER_PID"]
            told.until("READY", "1")

    def _nspawn(self) -> list[str]:
        # A cgroup of its own, not a registered unit: hosts that build things have no systemd to register with.
        return [
            *("systemd-nspawn", "--quiet", f"--directory={self.disk}", f"--machine={self._name}"),
            *("--boot", "--notify-ready=yes", "--register=no", "--keep-unit", "--private-network", *ENFORCING),
            *("--console=read-only", "--link-journal=no", "--resolv-conf=off", "--timezone=off"),
            "systemd.mask=systemd-modules-load.service",  # all capabilities let it try, and fail
        ]

    def stop(self) -> None:
        """Shut down, as by a power button."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            self._process = None

    def reboot(self) -> None:
        """Shut down and boot again, with the same disk."""
        self.stop()
        self.start()

    def run(self, *command: object, check: bool = True, seconds: float = COMMAND_SECONDS) -> str:
        """What a command prints, on either stream, run inside as root; AssertionError if it fails, unless `check` is
        false."""
        words = ["nsenter", "--target", self._leader, "--all", "--", *map(str, command)]
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{command}: code {done.returncode}: {done.stdout[-3000:]}"
        return done.stdout

    def shell(self, script: str, check: bool = True) -> str:
        """As `run`, of a line for the shell."""
        return self.run("sh", "-c", script, check=check)

    def connect(self, *addresses: str) -> None:
        """Have these answer, as if they were on the network: they are this machine's own."""
        for address in addresses:
            inside = ["nsenter", "--target", self._leader, "--net", "--", "ip", "address", "add", address, "dev", "lo"]
            subprocess.run(inside, check=True)

    def put(self, source: Path, path: str) -> None:
        """Copy a file or folder from here to a path inside, not below /tmp, /run or /dev, which are in memory."""
        target = self.disk / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy(source, target)

    def write(self, path: str, text: str) -> None:
        """Write a file inside, not below /tmp, /run or /dev."""
        target = self.disk / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def journal(self, unit: str, *options: str) -> str:
        """What a unit has logged since the boot; `options` are journalctl's."""
        return self.run("journalctl", "--no-pager", "--quiet", "--boot", f"--unit={unit}", *options)

    def property(self, unit: str, name: str) -> str:
        """What `systemctl show` says of a unit."""
        return self.run("systemctl", "show", unit, f"--property={name}", "--value").rstrip("\n")

    def until(self, text: str, *command: object, seconds: float = PATIENCE_SECONDS) -> str:
        """Run a command again and again until it prints `text`; what it printed. AssertionError if it never does."""
        give_up_at = time.monotonic() + seconds
        while text not in (printed := self.run(*command, check=False)):
            assert time.monotonic() < give_up_at, f"{command}: no {text!r} in {printed[-3000:]}"
            time.sleep(LOOK_SECONDS)
        return printed


def _in_group(group: Path, command: Sequence[str]) -> str:
    """For a shell: become the command, in a control group of its own."""
    return f"mkdir -p {group} && echo $$ > {group}/cgroup.procs && exec {shlex.join(command)}"


@contextmanager
def boot(base: Path) -> Iterator[Machine]:
    """A machine with what is in `base`, running; what it writes is in memory, and gone at the end. Skips where the
    kernel or a missing program forbids it."""
    _need("systemd-nspawn")
    name = f"edge-{secrets.token_hex(4)}"
    with ExitStack() as opened:
        place = Path(opened.enter_context(TemporaryDirectory(prefix=f"{name}-")))
        opened.callback(_remove_groups, name)
        machine = Machine(opened.enter_context(_overlaid(base, place)), name)
        opened.callback(machine.stop)
        machine.start()
        yield machine


@contextmanager
def _overlaid(base: Path, place: Path) -> Iterator[Path]:
    """`base` as a file system that can be written to, while `base` stays as it is."""
    memory, disk = place / "memory", place / "disk"
    memory.mkdir()
    disk.mkdir()
    _mount("tmpfs", memory, "mode=0755")
    try:
        upper, work = memory / "upper", memory / "work"
        upper.mkdir()
        work.mkdir()
        _mount("overlay", disk, f"lowerdir={base},upperdir={upper},workdir={work}")
        try:
            yield disk
        finally:
            subprocess.run(["umount", "--lazy", disk], check=True)
    finally:
        subprocess.run(["umount", "--lazy", memory], check=True)


def _mount(kind: str, place: Path, options: str) -> None:
    done = subprocess.run(["mount", "-t", kind, "-o", options, kind, place], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"mounting a file system is not allowed here: {done.stderr.strip()}")


def _remove_groups(name: str) -> None:
    for tree in (*CGROUPS, CGROUPS[0].parent):
        for group in sorted((tree / name).glob("**/"), reverse=True):
            group.rmdir()
