"""A power cut, as the disk sees it: what a process wrote, synced and named, by strace, and what a cut leaves of it."""

import random
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

CALLS = "openat,pwrite64,write,ftruncate,fsync,fdatasync,unlink,rename"
SECTOR = 512
"""A disk writes this many bytes whole or not at all."""

LINE = re.compile(r"(?P<pid>\d+) +(?P<call>\w+)\((?P<words>.*)\) += (?P<result>-?\d+)(?P<made><.*>)?")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
NAMED = re.compile(r"^-?\w+<((?:\\x[0-9a-f]{2})*)")


@dataclass(frozen=True)
class Call:
    """A system call that succeeded, on a file below the folder that is watched, or a write to standard output."""

    name: str
    path: str
    data: bytes = b""
    at: int = 0
    creates: bool = False


def watched(
    command: Sequence[str], log: Path, *, inject: str = "", **options: object
) -> subprocess.CompletedProcess[str]:
    """Run it under strace, which can also make calls fail; skips where that is not allowed."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    trace = ["strace", "-f", "-y", "-xx", "-s", "100000", "-e", f"trace={CALLS}", "-o", str(log)]
    if inject:
        trace += ["-e", f"inject={inject}"]
    done = subprocess.run([*trace, *command], capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if "ptrace" in done.stderr and "not permitted" in done.stderr:
        pytest.skip("tracing a process is not permitted here")
    return done


def calls(log: Path, folder: Path) -> list[Call]:
    """What the log tells, in order."""
    return [call for line in _whole_lines(log) if (call := _call(line, str(folder)))]


def _whole_lines(log: Path) -> Iterator[str]:
    """With calls put together that another thread's came in between of."""
    begun: dict[str, str] = {}
    for line in log.read_text().splitlines():
        pid = line.split(" ", 1)[0]
        if line.endswith("<unfinished ...>"):
            begun[pid] = line.removesuffix("<unfinished ...>").rstrip()
        elif "resumed>" in line:
            yield begun.pop(pid) + line.split("resumed>", 1)[1]
        else:
            yield line


def _call(line: str, folder: str) -> Call | None:
    found = LINE.match(line)
    if not found or (int(found["result"]) < 0 and not found["call"].endswith("sync")):
        return None
    name, words = found["call"], found["words"]
    texts = [_bytes(each) for each in TEXT.findall(words)]
    numbers = [int(each) for each in re.findall(r", (\d+)", TEXT.sub("", words))]
    on = NAMED.match(words)
    path = (texts[0] if name in ("openat", "unlink") else _bytes(on[1]) if on else b"").decode()
    if name == "write" and words.startswith("1<"):
        return Call("said", "", texts[0])
    if not path.startswith(folder):
        return None
    if name == "openat":
        return Call(name, path, creates="O_CREAT" in words)
    if name == "ftruncate":
        return Call(name, path, at=numbers[-1])
    if name == "pwrite64":
        return Call(name, path, texts[0], numbers[-1])
    if name == "unlink":
        return Call(name, path)
    assert name in ("fsync", "fdatasync"), f"the model knows nothing of {name}"
    return Call("sync" if found["result"] == "0" else "failed sync", path)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


@dataclass
class File:
    """What is on the disk for certain, and what may be."""

    synced: bytearray = field(default_factory=bytearray)
    unsynced: list[Call] = field(default_factory=list)

    def sync(self) -> None:
        for call in self.unsynced:
            _apply(self.synced, call)
        self.unsynced = []

    def fail(self, chance: random.Random) -> None:
        """Linux tells of it once and takes the pages for written: only writing them anew brings them to the disk."""
        self.synced, self.unsynced = bytearray(self.after_a_cut(chance)), []

    def after_a_cut(self, chance: random.Random) -> bytes:
        """Any sector of what was not synced may have come to the disk, in any order."""
        left = bytearray(self.synced)
        for call in self.unsynced:
            if call.name == "ftruncate":
                if chance.random() < 0.5:
                    _apply(left, call)
                continue
            end = call.at + len(call.data)
            cuts = [call.at, *range((call.at // SECTOR + 1) * SECTOR, end, SECTOR), end]
            luck = chance.choice((0.0, 0.5, 1.0))
            for begin, stop in pairwise(cuts):
                if chance.random() < luck:
                    part = call.data[begin - call.at : stop - call.at]
                    _apply(left, Call("pwrite64", call.path, part, begin))
        return bytes(left)


def _apply(content: bytearray, call: Call) -> None:
    if call.name == "ftruncate":
        del content[call.at :]
        content.extend(bytes(call.at - len(content)))
    else:
        content.extend(bytes(max(0, call.at + len(call.data) - len(content))))
        content[call.at : call.at + len(call.data)] = call.data


class Disk:
    """A folder's files as calls change them. A name counts once its folder was synced, and so does its removal; of the
    changes since then a cut keeps the first few."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder, self.chance = str(folder), chance
        self.now: dict[str, File] = {}
        self.synced: dict[str, File] = {}
        self.unsynced: list[tuple[str, File | None]] = []
        self.said: list[bytes] = []
        self.done = 0

    def do(self, call: Call) -> None:
        self.done += 1
        if call.name == "said":
            self.said.append(call.data)
        elif call.name == "openat":
            if call.creates and call.path not in self.now:
                self._name(call.path, File())
        elif call.name == "unlink":
            self._name(call.path, None)
        elif call.name == "failed sync":
            if call.path != self.folder:
                self.now[call.path].fail(self.chance)
        elif call.path == self.folder:
            self._keep(self.synced, len(self.unsynced))
            self.unsynced = []
        elif call.name == "sync":
            self.now[call.path].sync()
        else:
            self.now[call.path].unsynced.append(call)

    def leave(self, place: Path) -> None:
        """What a power cut would leave now, in `place`. SQLite's -shm is left out: it is memory."""
        names = dict(self.synced)
        self._keep(names, self.chance.randint(0, len(self.unsynced)))
        for path, file in names.items():
            if not path.endswith("-shm"):
                (place / Path(path).name).write_bytes(file.after_a_cut(self.chance))

    def _name(self, path: str, file: File | None) -> None:
        self.now[path] = file or File()
        if file is None:
            del self.now[path]
        self.unsynced.append((path, file))

    def _keep(self, names: dict[str, File], count: int) -> None:
        for path, file in self.unsynced[:count]:
            if file is None:
                names.pop(path, None)
            else:
                names[path] = file
