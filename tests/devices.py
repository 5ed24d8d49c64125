"""Whole virtual devices: Debian's own kernel and systemd, in QEMU's software emulation, running a script of ours."""

import fcntl
import hashlib
import json
import lzma
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests import machines

CORE = """\
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1
"""
"""What Linux says of a core of a Raspberry Pi 5. LiteRT chooses its code by it, and crashes on the host's, an x86's."""

SHARE = Path("/mnt/share")
"""Where a virtual device finds the folder that it shares with the test."""

INITIAL_MODULES = ("virtio_pci", "virtio_blk", "virtio_rng", "ext4", "9p", "9pnet_virtio")
"""What the kernel needs before it has a root."""

INIT = """\
#!/bin/busybox sh
mount() { /bin/busybox mount "$@"; }
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
while read module; do /bin/busybox insmod /modules/$module; done < /modules/order
until [ -b /dev/vda ]; do /bin/busybox sleep 0.1; done
mount -t ext4 /dev/vda /root
/bin/busybox umount /proc /sys; mount --move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
"""

UNPACK_KERNEL = """\
set -e
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
package=$(apt-cache depends {package} | sed -n "s/.*Depends: //p")
cd "$1"
apt-get -q download "$package"
dpkg-deb --extract "$package"_*.deb .
ln -s usr/lib lib
depmod --basedir . "${{package#linux-image-}}"
"""
"""Not installed, which would do more: only unpacked, with apt's check of its signature."""

SCRIPT_UNIT = f"""\
[Unit]
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStartPre=mkdir -p {SHARE}
ExecStartPre=mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288 share {SHARE}
ExecStart=sh -c 'exec python3 {SHARE}/script.py > {SHARE}/printed.txt 2>&1'
[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Board:
    """A kind of virtual device.

    architecture  Debian's name for it
    kernel        Debian's package of its kernel
    emulator      the command, with what differs between architectures
    console       where the kernel writes
    packages      what it has beside the least
    """

    architecture: str
    kernel: str
    emulator: tuple[str, ...]
    console: str
    packages: tuple[str, ...] = ("busybox-static", "dbus", "kmod", "udev")


PC = Board(
    "amd64",
    "linux-image-amd64",
    ("qemu-system-x86_64", "-cpu", "max"),
    "ttyS0",
    ("busybox-static", "dbus", "kmod", "udev", "v4l-utils"),
)
"""Its kernel has the whole choice of modules, vivid among them."""

ARM = Board(
    "arm64",
    "linux-image-arm64",
    ("qemu-system-aarch64", "-machine", "virt,gic-version=2", "-cpu", "cortex-a76"),
    "ttyAMA0",
)


def need(*programs: str) -> None:
    """Skip the test where one of these is not installed."""
    if missing := [each for each in programs if not shutil.which(each)]:
        pytest.skip(f"not installed: {', '.join(missing)}")


def need_arm64() -> None:
    """Skip the test where this kernel cannot be made to run programs for arm64."""
    registered = Path("/proc/sys/fs/binfmt_misc")
    for command in (f"mount -t binfmt_misc none {registered}", "update-binfmts --enable qemu-aarch64"):
        if not (registered / "qemu-aarch64").exists():
            subprocess.run(command, shell=True, capture_output=True, check=False)
    if not (registered / "qemu-aarch64").exists():
        pytest.skip("this kernel runs no arm64 programs; wanted: root, qemu-user-static, binfmt-support")
    os.environ["QEMU_CPU"] = "cortex-a76"  # a Raspberry Pi 5's; QEMU's own is slower, and numpy doubts its arithmetic


def kernel(board: Board) -> Path:
    """A folder with Debian's kernel and its modules, in the cache."""
    need("apt-get", "depmod", "mmdebstrap")
    command = "mmdebstrap", "--quiet", "--variant=custom", f"--architectures={board.architecture}"
    hook = f"--customize-hook={UNPACK_KERNEL.format(package=board.kernel)}"
    return _kept(board.kernel, lambda place: _command(*command, hook, "trixie", place, machines.MIRROR))


def parts(board: Board, package: Path) -> Path:
    """A folder with the board's `kernel`, `initrd` and `disk`, a Debian 13 in which the package is installed; in the
    cache, where it takes the place of the one with an earlier package."""
    need("cpio", "mke2fs", "modprobe", board.emulator[0])
    if board is ARM:
        need_arm64()
    root = machines.root("trixie", board.architecture, board.packages)
    mark = hashlib.sha256(f"{board}{INIT}{SCRIPT_UNIT}{INITIAL_MODULES}{package.name}".encode()).hexdigest()[:8]
    made = _kept(f"device-{board.architecture}-{mark}", lambda place: _make(place, board, root, package))
    for other in machines.cache().glob(f"device-{board.architecture}-*"):
        if other.is_dir() and other != made:
            shutil.rmtree(other)
    return made


def _kept(name: str, make: Callable[[Path], object]) -> Path:
    """A folder of the cache, there complete or not at all; `make` is called where it is not."""
    place = machines.cache() / name
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at a time make it once
        if not place.is_dir():
            with TemporaryDirectory(dir=machines.cache(), prefix="partial-") as fresh:
                make(Path(fresh) / name)
                (Path(fresh) / name).rename(place)
    return place


def _make(place: Path, board: Board, root: Path, package: Path) -> None:
    """The parts. The package is installed before the device is first switched on, as on a card that one prepares."""
    tree, disk = kernel(board), place / "root"
    place.mkdir()
    (image,) = (tree / "boot").glob("vmlinuz-*")
    shutil.copy(image, place / "kernel")
    (place / "initrd").write_bytes(_initrd(root, tree, image.name.removeprefix("vmlinuz-")))
    _command("cp", "--archive", root, disk)
    _command("cp", "--archive", tree / "usr/lib/modules", disk / "usr/lib")
    shutil.copy(package, disk / "tmp" / "emotion-edge.deb")
    said = _command("chroot", disk, "dpkg", "--install", "/tmp/emotion-edge.deb").decode()
    (disk / "installed.txt").write_text(said)
    unit = disk / "etc/systemd/system/script.service"
    unit.write_text(SCRIPT_UNIT)
    (unit.parent / "multi-user.target.wants" / unit.name).symlink_to(f"../{unit.name}")
    (disk / "etc/hostname").write_text("virtual-device\n")
    _command("mke2fs", "-q", "-t", "ext4", "-d", disk, place / "disk", "3G")
    shutil.rmtree(disk)


def _command(*words: object) -> bytes:
    done = subprocess.run([str(each) for each in words], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr.decode(errors='replace')[-3000:]}"
    return done.stdout


def _initrd(root: Path, tree: Path, version: str) -> bytes:
    """The few modules that lead to the disk, and busybox to load them."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        for each in ("bin", "dev", "modules", "proc", "root", "sys"):
            (place / each).mkdir()
        shutil.copy(root / "usr/bin/busybox", place / "bin")
        names = [_unpacked(path, place / "modules") for path in _modules(tree, version)]
        (place / "modules" / "order").write_text("".join(f"{each}\n" for each in names))
        (place / "init").write_text(INIT)
        (place / "init").chmod(0o755)
        files = "\n".join(str(path.relative_to(place)) for path in sorted(place.rglob("*")))
        command = ["cpio", "--quiet", "--create", "--format=newc"]
        return subprocess.run(command, cwd=place, input=files.encode(), stdout=subprocess.PIPE, check=True).stdout


def _modules(tree: Path, version: str) -> list[Path]:
    """Files of the modules that are wanted first, each after those that it needs; what is built in has none."""
    show = "modprobe", "--dirname", tree, "--set-version", version, "--show-depends"
    lines = [line for each in INITIAL_MODULES for line in _command(*show, each).decode().splitlines()]
    return list(dict.fromkeys(Path(line.split()[1]) for line in lines if line.startswith("insmod")))


def _unpacked(module: Path, place: Path) -> str:
    name = module.name.removesuffix(".xz")
    content = module.read_bytes()
    (place / name).write_bytes(lzma.decompress(content) if module.suffix == ".xz" else content)
    return name


def run_on(board: Board, package: Path, share: Path, script: str, timeout_seconds: float) -> dict[str, Any]:
    """Boot a fresh device that has the package, and `share` at SHARE; have it run the Python script, until it is off.

    Returns what the script wrote to `results.json`; what it printed is in `printed.txt`, the kernel's words are in
    `console.txt`. AssertionError, with their ends, if the script did not come to its own.
    """
    (share / "script.py").write_text(script)
    made = parts(board, package)
    # tsc=unstable: on a busy machine its rate is measured wrongly at boot, and a guest's clock ran five times too fast
    words = f"console={board.console} root=/dev/vda rw quiet systemd.show_status=0 mitigations=off tsc=unstable"
    command = [*board.emulator, "-accel", "tcg,thread=multi,tb-size=512", "-smp", "2", "-m", "2048", "-nodefaults"]
    command += ["-nographic", "-no-reboot", "-serial", f"file:{share / 'console.txt'}", "-append", words]
    command += ["-kernel", f"{made / 'kernel'}", "-initrd", f"{made / 'initrd'}", "-device", "virtio-rng-pci"]
    command += [
        "-drive",
        f"file={made / 'disk'},if=none,id=disk,format=raw,snapshot=on,cache=unsafe",
        "-device",
        "virtio-blk-pci,drive=disk",
    ]
    command += ["-virtfs", f"local,path={share},mount_tag=share,security_model=none"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_seconds).stderr
    except subprocess.TimeoutExpired:
        done = f"not off after {timeout_seconds:g} s"
    results = share / "results.json"
    assert results.exists(), "\n".join([done, *(_end(share / each) for each in ("console.txt", "printed.txt"))])
    return json.loads(results.read_text())


def _end(path: Path) -> str:
    return f"{path.name}: ... {path.read_text(errors='replace')[-2000:]}" if path.exists() else f"{path.name}: none"


def run_as_arm64(release: str, share: Path, script: str, timeout_seconds: float) -> None:
    """Run a shell script by qemu-user in a Debian root of this release, with `share` at SHARE and no network.

    What it changes in the root is gone at the end. AssertionError, with what it printed, if it fails.
    """
    need("systemd-nspawn")
    need_arm64()
    (share / "cpuinfo").write_text("".join(f"processor\t: {number}\n{CORE}\n" for number in range(4)))
    (share / "script.sh").write_text(f"set -eu\ncd {SHARE}\nmount --bind cpuinfo /proc/cpuinfo\n{script}")
    command = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network", "--volatile=overlay"]
    command += [f"--directory={machines.root(release, 'arm64', ARM.packages)}", f"--bind={share}:{SHARE}"]
    command += ["--setenv=QEMU_CPU=cortex-a76", "--pipe", "sh", f"{SHARE}/script.sh"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout_seconds
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-3000:]
