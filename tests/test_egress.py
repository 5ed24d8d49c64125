"""The daemon opens no connection and writes no picture: every system call of a whole run is looked at."""

import json
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from edge.archive import Archive
from tests.daemon import ROOT
from tests.test_faces import traceable

CALLS = "socket,connect,sendto,sendmsg,openat,open,creat,write,pwrite64,writev,pwritev"

PICTURE = re.compile(rb"\xff\xd8\xff|\x89PNG|RIFF|GIF8|....ftyp", re.DOTALL)
"""How files of pictures and films begin."""


def traced(log: Path, *words: object) -> list[str]:
    """The calls of a run of the daemon, with the names of files."""
    command = ["strace", "-f", "-y", "-xx", "-s", "16", "-e", f"trace={CALLS}", "-o", str(log)]
    run = [sys.executable, "-m", "edge", "run", *map(str, words)]
    subprocess.run([*command, *run], cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return log.read_text().splitlines()


def written_files(calls: list[str]) -> set[str]:
    """The files that were opened to be written."""
    opened = (re.search(r'openat?\(.*"(.*?)", (O_\S+)', call) for call in calls)
    return {plain(found[1]).decode() for found in opened if found and re.search("O_WRONLY|O_RDWR|O_CREAT", found[2])}


def written_starts(calls: list[str]) -> list[bytes]:
    """The first 16 bytes of each write to a file or stream, or of what is left of it."""
    written = (re.search(r' p?write(?:64|v)?\(.*?"(.*?)"', call) for call in calls)
    return [plain(found[1]) for found in written if found]


def plain(hexadecimal: str) -> bytes:
    """Text as strace -xx writes it."""
    return bytes.fromhex(hexadecimal.replace("\\x", ""))


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.skipif(not traceable(), reason="strace is not installed, or may not trace here")
def test_two_runs_of_half_a_minute_write_nothing_but_the_record_and_speak_to_nobody(tmp_path):
    """Two, since the demo is half a minute long."""
    store = tmp_path / "state" / "events.db"
    store.parent.mkdir()
    calls = [
        call for turn in range(2) for call in traced(tmp_path / f"calls-{turn}", "--source", "demo", "--store", store)
    ]
    assert len(calls) > 400
    assert not [call for call in calls if re.search("AF_INET|AF_PACKET", call)]
    written = {path for path in written_files(calls) if not path.startswith("/dev/")}
    assert written and all(Path(path).parent == store.parent for path in written)
    starts = written_starts(calls)
    assert any(start.startswith(b'{"v":1') for start in starts)  # the events on standard output
    assert not [start for start in starts if PICTURE.match(start)]
    with closing(Archive(store)) as archive:
        records = [json.loads(record.line) for record in archive.after(0, 1000)]
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    types = [record["type"] for record in records]
    assert types.count("start") == types.count("end") >= 4
