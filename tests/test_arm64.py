"""The package for arm64, as it is on a Raspberry Pi with Bookworm or Trixie, under qemu-user: does it run, is it right?

How fast it was says nothing: each instruction is translated.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import devices, packages
from tests.conftest import ROOT, Done

pytestmark = [pytest.mark.device, pytest.mark.timeout(1500)]

PORTRAIT = "edge/assets/astronaut.jpg"

SCORES_DIFFER = 0.01
"""Scores of one picture may be so far from those of x86; seen was no difference in four digits."""

CONFIDENCES_DIFFER = 0.03
"""So far those in the demo's events, whose pictures OpenCV draws there with roundings of its own; seen was 0.0147."""

DEMO = "--source demo --no-pace --set camera.fps=1 --set track.confirm_frames=1 --set track.lost_seconds=3"
"""All of the clip in 30 frames."""

SCRIPT = f"""
dpkg --install emotion-edge.deb > installed.txt 2>&1
emotion-edge doctor --source demo > doctor.txt
emotion-edge image --json astronaut.jpg > portrait.json
emotion-edge run {DEMO} > events.jsonl 2> log.txt
"""


@pytest.fixture(scope="module", params=packages.PYTHONS)
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what SCRIPT wrote, on each release."""
    share, release = tmp_path_factory.mktemp(request.param), request.param
    shutil.copy(packages.deb(release, "arm64"), share / "emotion-edge.deb")
    shutil.copy(ROOT / PORTRAIT, share)
    devices.run_as_arm64(release, share, SCRIPT, 1200)
    (share / "python").write_text(packages.PYTHONS[release])
    return share


def test_doctor_finds_nothing_amiss(found: Path) -> None:
    said = (found / "doctor.txt").read_text()
    assert f"Python: {(found / 'python').read_text()}." in said and "aarch64" in said
    assert "fail" not in said
    assert "ok    emotion model" in said


def test_the_portrait_has_the_label_and_the_scores_that_it_has_on_x86(
    found: Path, emotion_edge: Callable[..., Done]
) -> None:
    (there,) = json.loads((found / "portrait.json").read_text())["faces"]
    (here,) = json.loads(emotion_edge("image", "--json", PORTRAIT).stdout)["faces"]
    assert there["emotion"] == here["emotion"] == "happy"
    assert there["scores"] == pytest.approx(here["scores"], abs=SCORES_DIFFER)
    assert there["box_px"] == pytest.approx(here["box_px"], abs=0.5)


def test_the_demo_has_the_events_that_it_has_on_x86(found: Path, emotion_edge: Callable[..., Done]) -> None:
    assert "stop captured=30 published=30" in (found / "log.txt").read_text()
    there = [json.loads(line) for line in (found / "events.jsonl").read_text().splitlines()]
    here = [json.loads(line) for line in emotion_edge("run", *DEMO.split()).stdout.splitlines()]
    assert len(there) == len(here) > 5
    assert [told(event) for event in there] == [told(event) for event in here]
    confidences = [event["confidence"] for event in here]
    assert [event["confidence"] for event in there] == pytest.approx(confidences, abs=CONFIDENCES_DIFFER)


def told(event: dict[str, Any]) -> tuple[Any, ...]:
    """What an event says, but for times and confidence."""
    return event["type"], event["track"], event["label"], event["uncertain"], event["dwell_ms"]
