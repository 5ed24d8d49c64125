"""The lasting record after kill -9, after fsyncs that failed, and after power cuts."""

import json
import random
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from edge.archive import Archive
from tests.power import Disk, calls, watched
from tests.stores import numbers, opened

ROOT = Path(__file__).parents[1]

KILLED = """
import json, os, random, signal, sys, time
from contextlib import closing
from pathlib import Path
from edge import store as module
from edge.archive import Archive
from tests.stores import Clock, opened, record

path, rounds, chance = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))

def append(commit_seconds, say):
    module.COMMIT_SECONDS = commit_seconds
    clock = Clock()
    store = opened(path, clock, keep_mb=1)
    store.listen(lambda: os.write(say, b"%d\\n" % store.committed_seq))
    while True:
        store.write(record(store.last_seq + 1, clock))
        store.acknowledge("mqtt", store.committed_seq)
        if store.held > 300:
            time.sleep(0.001)

def said(line):
    return int(line) if line.endswith(b"\\n") else 0

acknowledged = 0
for number in range(rounds):
    reader, writer = os.pipe()
    commit_seconds = chance.choice((0.0, 0.0, 0.003, 1.0))
    commits, more_seconds = chance.choice((0, 1, 1 if commit_seconds else 9)), chance.uniform(0, 0.04)
    child = os.fork()
    if not child:
        append(commit_seconds, writer)
    os.close(writer)
    lines = open(reader, "rb")
    acknowledged = max([acknowledged, *(said(lines.readline()) for _ in range(commits))])
    time.sleep(more_seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    with lines:
        acknowledged = max([acknowledged, *map(said, lines)])
    if number + 1 < rounds and chance.random() < 0.5:
        continue  # the next writer finds it as it was left
    with closing(opened(path, keep_mb=1)) as store, closing(Archive(path)) as archive:
        found = [each.seq for each in archive.all_after()]
        first = found[0] if found else 1
        print(json.dumps({
            "whole": found == list(range(first, first + len(found))), "first": first, "damaged": archive.damaged,
            "acknowledged": acknowledged, "last": store.last_seq, "place": store.acknowledged("mqtt"),
        }), flush=True)
"""


def killed(path: Path, rounds: int, seed: int) -> list[dict[str, int]]:
    command = [sys.executable, "-c", KILLED, str(path), str(rounds), str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    assert "damaged" not in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check_kills(path: Path, rounds: int, seed: int) -> None:
    looks = killed(path, rounds, seed)
    assert len(looks) > rounds // 4
    for before, look in zip([{"last": 0, "place": 0, "first": 1}, *looks], looks, strict=False):
        assert look["whole"] and not look["damaged"]
        assert look["last"] >= look["acknowledged"] >= 0 and look["last"] >= before["last"]
        assert look["last"] >= look["place"] >= before["place"] and look["first"] >= before["first"]
    assert looks[-1]["acknowledged"] > rounds // 2 and looks[-1]["place"] > 0


def test_a_record_is_there_after_a_kill_at_any_moment(tmp_path: Path) -> None:
    check_kills(tmp_path / "events.db", rounds=20, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_five_hundred_kills_tear_no_hole_and_take_nothing_that_was_acknowledged(tmp_path: Path, seed: int) -> None:
    check_kills(tmp_path / "events.db", rounds=100, seed=seed)


SYNCING = """
import os, sys
from pathlib import Path
from edge import store as module
from tests.stores import Clock, opened, record, until

module.COMMIT_SECONDS = 0.002
path, count = Path(sys.argv[1]), int(sys.argv[2])
store, clock = opened(path, keep_mb=1), Clock()
store.listen(lambda: os.write(1, b"%d\\n" % store.committed_seq))
for seq in range(store.last_seq + 1, store.last_seq + count + 1):
    store.write(record(seq, clock))
    if seq % 3:  # so that there is a sync for two of three
        until(lambda: store.held == 0)
until(lambda: store.held == 0)
assert store.lost == 0
store.close()
"""


def syncing(path: Path, count: int) -> list[str]:
    return [sys.executable, "-c", SYNCING, str(path), str(count)]


def fail_syncs(folder: Path, seed: int) -> None:
    """From some sync on, a few fail: in the middle of a commit, of copying the log, or of making the file."""
    chance, path = random.Random(seed), folder / "events.db"
    if chance.random() < 0.8:  # else it is new
        subprocess.run(syncing(path, 100), cwd=ROOT, check=True, capture_output=True)
    before = numbers(path) if path.exists() else []
    begin, count = chance.randint(3, 25), chance.randint(1, 6)
    how = f"inject=fdatasync,fsync:error={chance.choice(('EIO', 'ENOSPC'))}:when={begin}..{begin + count - 1}"
    trace = ["strace", "-f", "-qq", "-o", str(folder / "trace"), "-e", "trace=fdatasync,fsync", "-e", how]
    done = subprocess.run([*trace, *syncing(path, 60)], cwd=ROOT, capture_output=True, text=True, timeout=100)
    if "ptrace" in done.stderr and "not permitted" in done.stderr:
        pytest.skip("tracing a process is not permitted here")
    assert done.returncode == 0, done.stderr
    assert "INJECTED" in (folder / "trace").read_text()
    last = (before or [0])[-1] + 60
    assert numbers(path) == list(range(1, last + 1))
    assert int(done.stdout.split()[-1]) == last
    with closing(Archive(path)) as archive:
        assert archive.last_seq == last and archive.damaged == 0
    assert not path.with_name("events.db.damaged").exists()


needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


@needs_strace
@pytest.mark.parametrize("seed", [20, 21])
def test_syncs_that_fail_lose_nothing_and_write_nothing_twice(tmp_path: Path, seed: int) -> None:
    fail_syncs(tmp_path, seed)


@needs_strace
@pytest.mark.long
@pytest.mark.parametrize("part", range(1, 4))
def test_syncs_that_fail_sixty_times_lose_nothing(tmp_path: Path, part: int) -> None:
    for seed in range(part * 20, part * 20 + 20):
        folder = tmp_path / str(seed)
        folder.mkdir()
        fail_syncs(folder, seed)


def cut_power(tmp_path: Path, cuts: int, seed: int, inject: str = "") -> None:
    """Watch a store being made, filled and closed; then open what each of many cuts would have left."""
    folder, chance = tmp_path / "store", random.Random(seed)
    folder.mkdir()
    done = watched(syncing(folder / "events.db", 100), tmp_path / "log", inject=inject, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    story = calls(tmp_path / "log", folder)
    assert any(call.name == "failed sync" for call in story) == bool(inject)
    disk, acknowledged = Disk(folder, chance), 0
    for moment in sorted(chance.sample(range(len(story)), cuts)):
        while disk.done < moment:
            disk.do(story[disk.done])
        acknowledged = max([acknowledged, *(int(each) for said in disk.said for each in said.split())])
        place = tmp_path / f"cut{moment}"
        place.mkdir()
        disk.leave(place)
        with closing(opened(place / "events.db")) as store:
            found = numbers(place / "events.db")
            assert found == list(range(1, len(found) + 1)) and len(found) >= acknowledged
            assert store.last_seq == len(found)
        assert not (place / "events.db.damaged").exists()
        shutil.rmtree(place)
    assert acknowledged > 50


@needs_strace
def test_a_power_cut_at_any_moment_leaves_all_that_was_committed(tmp_path: Path) -> None:
    cut_power(tmp_path, cuts=30, seed=1)


@needs_strace
@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 5))
def test_nine_hundred_power_cuts_leave_all_that_was_committed(tmp_path: Path, seed: int) -> None:
    cut_power(tmp_path, cuts=300, seed=seed)


@needs_strace
@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_power_cuts_after_syncs_that_failed_leave_all_that_was_committed(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    begin = chance.randint(12, 40)
    cut_power(tmp_path, 60, seed, f"fdatasync,fsync:error=EIO:when={begin}..{begin + chance.randint(0, 5)}")
