"""`python -m benchmarks board`: one file that anybody may send to strangers, and a page to read."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import board, machine, startup
from benchmarks.anonymous import names_here, without_names
from benchmarks.result import document
from edge import config, doctor
from edge.errors import EmotionEdgeError

ROOT = Path(__file__).parents[1]
QUICK = ["--rounds", "1", "--frames", "40", "--seconds", "1.5"]


def test_whole_words_and_addresses_are_left_out_of_texts_and_nothing_else():
    told = {
        "pi": ["pi@kitchen: /home/pi/x", "Raspberry Pi 5, pipeline, api, kitchen-2, 5.0.0.93"],
        "at": {"a": "on 192.168.1.20:8883, 10.0.0.7, 172.20.0.1 and b8:27:eb:01:02:03", "b": 3, "c": None},
    }
    assert without_names(told, {"pi", "kitchen"}) == {
        "pi": [
            "(left out)@(left out): /home/(left out)/x",
            "Raspberry Pi 5, pipeline, api, kitchen-2, 5.0.0.93",
        ],
        "at": {"a": "on (left out):8883, (left out), (left out) and (left out)", "b": 3, "c": None},
    }


def test_of_checks_that_tell_of_people_only_the_verdict_is_told():
    document = {
        "schema": 1,
        "checks": [
            {"name": "store", "verdict": "fail", "found": "/home/anna/events.db", "mend": "mkdir /home/anna"},
            {"name": "board", "verdict": "ok", "found": "Raspberry Pi 5", "mend": ""},
            {"name": "of next year", "verdict": "ok", "found": "anna", "mend": ""},
        ],
    }
    checks = board.for_strangers(document)["checks"]
    assert [each["verdict"] for each in checks] == ["fail", "ok", "ok"]
    assert "anna" not in json.dumps(checks) and checks[1]["found"] == "Raspberry Pi 5"


def test_each_check_that_is_told_in_full_is_one_that_doctor_makes():
    assert {each.name for each in doctor.checks(config.Settings())} >= board.TOLD_IN_FULL


@pytest.mark.long
def test_the_report_of_a_whole_run_names_nobody(tmp_path):
    """On a computer with a telling name, where this system lets us give it one."""
    out, home = tmp_path / "report.json", tmp_path / "anna-ilse"
    home.mkdir()
    command = [sys.executable, "-m", "benchmarks", "board", *QUICK, "--out", str(out)]
    if os.geteuid() == 0 and shutil.which("unshare"):
        command = ["unshare", "--uts", "sh", "-c", 'hostname annas-kitchen && exec "$@"', "sh", *command]
    told = {"HOME": str(home), "LOGNAME": "anna-ilse", "USER": "anna-ilse", "SUDO_USER": "anna-sudo"}
    done = subprocess.run(command, cwd=ROOT, env=os.environ | told, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    written = out.read_text() + out.with_suffix(".md").read_text()
    assert not [name for name in ("anna", "kitchen", str(tmp_path), str(ROOT), *names_here()) if name in written]
    report = json.loads(out.read_text())
    parts = {case.partition(":")[0] for case in report["summary"]}
    assert parts == {"startup", "model", "stage", "pipeline", "daemon"}
    assert report["summary"]["daemon: nobody"]["cpu_share_of_core"]["median"] > 0
    assert "store" in {each["name"] for each in report["doctor"]["checks"]}
    assert set(report["before"]) == set(report["after"]) == {"temperature_c", "throttling"}
    assert "| temperature before, after |" in out.with_suffix(".md").read_text()


def test_a_folder_that_is_not_there_is_said_before_anything_is_measured(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "board", "--out", str(tmp_path / "none" / "report.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"{tmp_path / 'none'}: no result can be written there" in done.stderr


def test_a_daemon_that_says_nothing_is_ended_and_told_of(monkeypatch):
    monkeypatch.setattr(startup, "AT_ONCE", {"track.confirm_frames": "100", "track.lost_seconds": "0.05"})
    monkeypatch.setattr(startup, "PATIENCE_SECONDS", 0.1)
    with pytest.raises(EmotionEdgeError, match="doctor"):
        startup.first_label_seconds()


def test_the_page_tells_what_is_not_well_and_what_is_unknown():
    quiet = {"temperature_c": None, "throttling": None}
    warm = {"temperature_c": 71.6, "throttling": ["under-voltage"]}
    checks = [
        {"name": "swap", "verdict": "warn", "found": "on the card", "mend": ""},
        {"name": "clock", "verdict": "ok", "found": "kept", "mend": ""},
    ]
    told = {"doctor": {"checks": checks}, "before": quiet, "after": warm}
    report = document("board", {}, [{"a case": {"fps": 1.5}}], machine.facts(), **told)
    page = board.as_markdown(report | {"doubts": ["busy"]})
    assert "not told, 72 °C" in page and "not told; under-voltage" in page and "| fps | 1.5 |" in page
    assert "| swap | warn: on the card |" in page and "clock" not in page and "- doubtful: busy" in page
