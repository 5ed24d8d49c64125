"""Orders to a running daemon: other settings and models are taken over or refused, and nothing is lost."""

import gc
import shutil
from collections import deque
from contextlib import ExitStack, closing

import pytest

from edge import config, control
from edge.classifier import SHIPPED, Classifier, shipped
from edge.contract import read_model_file
from edge.control import Control, Parts
from edge.outlets import Outlets
from edge.pipeline import Pipeline
from edge.run import perceiver_of, stages_of
from edge.scene import Frame, Scene
from edge.sources.demo import DemoClip
from edge.status import Status, Totals
from tests.daemon import daemon


@pytest.fixture
def settings_file(tmp_path):
    path = tmp_path / "edge.toml"
    path.write_text('[events]\ndevice = "kitchen"\n')
    return path


def ended_well(running) -> None:
    assert running.end() == 0
    types = [event["type"] for event in running.events]
    assert types.count("start") == types.count("end")
    assert [event["seq"] for event in running.events] == list(range(1, len(types) + 1))
    assert "Traceback" not in "".join(running.log)


def test_a_hang_up_has_the_settings_read_again(settings_file):
    with daemon("--source", "demo", "--config", settings_file) as running:
        running.until('"type":"start"')
        settings_file.write_text('[events]\ndevice = "kitchen"\n[limits]\nmax_turn = 0\n')
        running.hang_up()
        running.until("reloaded: model=emotion-8@")
        running.until('"type":"change"')
        ended_well(running)
    assert running.events[1]["label"] == "uncertain"
    assert any("changed=limits" in line for line in running.log)


def test_a_settings_file_that_changes_is_read_again_without_being_asked(settings_file):
    with daemon("--source", "demo", "--config", settings_file) as running:
        running.until("start version")
        settings_file.write_text("[events]\nmargin = 0.2\n")
        assert "changed=events" in running.until("reloaded: ")
        ended_well(running)


def test_all_garbage_is_collected_from_time_to_time(in_process, monkeypatch, tmp_path):
    """Else Python keeps the memory of more and more freed tuples."""
    collections: list[int] = []

    def note(phase, info):
        if phase == "start":
            collections.append(info["generation"])

    monkeypatch.setattr(control, "SWEEP_SECONDS", 0.1)
    gc.callbacks.append(note)
    try:
        assert in_process("run", "--no-pace", "--events", tmp_path / "events.jsonl").returncode == 0
    finally:
        gc.callbacks.remove(note)
    assert collections.count(2) >= 3


def test_frames_are_spared_while_nobody_is_there_and_may_be_there_without_a_word(tmp_path, caplog):
    caplog.set_level("INFO")
    settings = config.Settings(
        events=config.Events(path=tmp_path / "events.jsonl"), governor=config.Governor(idle_seconds=1, idle_fps=5)
    )
    classifier, clip = Classifier.read(), DemoClip(160, 120)
    with ExitStack() as opened:
        perceiver = opened.enter_context(closing(perceiver_of(settings, classifier, lambda event: None)))
        outlets = Outlets(settings, deque(), opened)
        parts = Parts(clip, Pipeline(clip, stages_of(perceiver)), perceiver, Status("", clip.name), outlets, Totals())
        control = Control(settings, classifier, parts, deque(), lambda: settings)
        rates = []
        for number, (at, found) in enumerate([(0, 0), (2, 0), (2.2, 1), (2.23, 0)]):
            frame = Frame(clip.picture(number), captured_at=at, moment=at, number=number)
            control.see(Scene(frame, (), found=found), at)
            rates.append(clip.rate_fps)
    assert rates == [None, 5, None, 5]
    assert [each.message for each in caplog.records] == ["effort detect_every=1 fps=5 why='nobody is there'"]


NO_GOOD = {
    "[events]\nmargin = 7\n": "[events] margin = 7.0: expected 0 to 0.9",
    "[evnts]\n": "unknown name 'evnts'; did you mean 'events'?",
    "[events": "no valid TOML",
    '[model]\nfile = "none.tflite"\n': "none.tflite: cannot read",
    '[camera]\nsource = "0"\n': "context is not stated",
}
"""Settings, and why they are refused."""


def test_settings_that_are_no_good_are_refused_and_all_goes_on(settings_file):
    with daemon("--config", settings_file) as running:
        running.until('"type":"start"')
        for times, (content, why) in enumerate(NO_GOOD.items(), 1):
            settings_file.write_text(content)
            running.hang_up()
            running.until("reload is refused, all goes on as before: ", times)
            assert any(why in line for line in running.log)
        ended_well(running)
    assert not any("reloaded:" in line for line in running.log)


def test_another_model_takes_over_between_two_frames(settings_file):
    with daemon("--source", "demo", "--config", settings_file) as running:
        running.until('"type":"start"')
        settings_file.write_text('[model]\nfile = "emotion-7"\n')
        running.hang_up()
        running.until("reloaded: model=emotion-7@")
        ended_well(running)
    assert [(event["type"], event["model"][:9]) for event in running.events] == [
        ("start", "emotion-8"),
        ("end", "emotion-7"),
    ]


def test_a_model_file_that_is_replaced_by_a_good_one_is_taken_over_and_by_a_bad_one_not(tmp_path):
    path = tmp_path / "mine.tflite"
    shutil.copy(SHIPPED, path)
    with daemon("--source", "demo", "--model", path) as running:
        running.until('"type":"start"')
        path.write_bytes(read_model_file(SHIPPED)[:-5000])
        running.until("reload is refused")
        shutil.copy(shipped()["emotion-7"], path)
        running.until("reloaded: model=emotion-7@")
        ended_well(running)
    assert (tmp_path / "mine.tflite.before").read_bytes() == SHIPPED.read_bytes()


def test_what_lasts_to_the_end_of_a_run_is_said_to_take_effect_later(settings_file):
    with daemon("--source", "demo", "--config", settings_file) as running:
        running.until("start version")
        settings_file.write_text('[store]\nkeep_days = 3\n[page]\naddress = "127.0.0.1"\n')
        running.until("takes effect at the next start: store, page")
        ended_well(running)
