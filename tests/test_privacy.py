"""A camera is opened for a stated use only, and there is a notice that tells the truth about the settings."""

import re
from pathlib import Path

import pytest

from edge import config
from edge.errors import OutputError, SettingsError
from edge.notice import CONTACT_LINE, TITLE, statements, write_notice
from edge.privacy import refuse_unstated


def used(source: str = "0", **privacy: object) -> config.Settings:
    return config.Settings(camera=config.Camera(source), privacy=config.Privacy(**privacy))  # type: ignore[arg-type]


@pytest.mark.parametrize("source", ["demo", "film.mp4", "folder"])
def test_what_is_no_camera_needs_no_context(source):
    refuse_unstated(used(source))


@pytest.mark.parametrize("source", ["0", "/dev/video2"])
def test_a_camera_without_a_context_is_refused_with_the_contexts_there_are(source):
    with pytest.raises(SettingsError, match=r"context is not stated: .*`--context testing`.*home, testing, research"):
        refuse_unstated(used(source))


@pytest.mark.parametrize("context", ["home", "testing"])
def test_at_home_and_for_a_try_the_context_is_enough(context):
    refuse_unstated(used(context=context))


@pytest.mark.parametrize("context", ["research", "care", "public"])
def test_elsewhere_people_must_be_told(context):
    with pytest.raises(SettingsError, match=r"must be told: print `emotion-edge notice`"):
        refuse_unstated(used(context=context))
    refuse_unstated(used(context=context, notice_shown=True))


@pytest.mark.parametrize("context", ["workplace", "education"])
def test_at_work_and_in_school_it_takes_a_medical_or_safety_reason_and_a_notice(context):
    with pytest.raises(SettingsError, match=r"forbidden in the European Union .*AI Act, Article 5"):
        refuse_unstated(used(context=context, notice_shown=True))
    with pytest.raises(SettingsError, match="must be told"):
        refuse_unstated(used(context=context, medical_or_safety=True))
    refuse_unstated(used(context=context, medical_or_safety=True, notice_shown=True))


def test_each_context_is_treated_in_some_way():
    assert set(config.CONTEXTS) == {"home", "testing", "research", "care", "public", "workplace", "education"}


def test_the_command_line_asks_for_the_context_before_anything_opens(in_process):
    done = in_process("run", "--source", "/dev/video93")
    assert (done.returncode, done.stdout) == (2, "")
    assert "context is not stated" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_notice_says_what_the_settings_do():
    plain = " ".join(statements(config.Settings()))
    assert "None is stored or sent." in plain
    assert "are not kept by the device" in plain
    assert "for at most 60 minutes" in plain
    assert "Labels are sent" not in plain
    busy = config.Settings(
        store=config.Store(path=Path("events.db"), keep_days=7),
        mqtt=config.Mqtt(host="broker.lan"),
        page=config.Page(address="127.0.0.1"),
        track=config.Track(longest_seconds=90),
    )
    told = " ".join(statements(busy))
    assert "can watch the camera live" in told
    assert "kept on the device for at most 7 days" in told
    assert "Labels are sent to the computer broker.lan." in told
    assert "for at most 1.5 minutes" in told


def test_a_page_without_the_picture_shows_none():
    hidden = config.Settings(page=config.Page(address="127.0.0.1", picture=False))
    assert "None is stored or sent." in " ".join(statements(hidden))


def test_the_notice_is_html_with_the_contact_and_nothing_of_it_is_code(tmp_path):
    path = tmp_path / "notice.html"
    write_notice(config.Settings(privacy=config.Privacy(contact="<script>Ada & Co, $room 3")), path)
    page = path.read_text("utf-8")
    assert page.startswith("<!doctype html>") and TITLE in page
    assert "&lt;script&gt;Ada &amp; Co, $room 3" in page and "<script>" not in page
    assert page.count("<li>") == len(statements(config.Settings()))
    assert not re.search(r"https?://", page)


def test_the_notice_can_be_a_pdf_of_one_page(tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "notice.pdf"
    write_notice(config.Settings(), path)
    content = path.read_bytes()
    assert content.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b", content)) == 1


def test_a_notice_without_a_contact_has_a_line_for_it(tmp_path):
    write_notice(config.Settings(), tmp_path / "notice.html")
    assert CONTACT_LINE in (tmp_path / "notice.html").read_text()


def test_a_notice_of_another_kind_or_in_a_place_that_is_none_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"expected a name that ends in \.html or \.pdf"):
        write_notice(config.Settings(), tmp_path / "notice.txt")
    with pytest.raises(OutputError, match="cannot write the notice: No such file or directory"):
        write_notice(config.Settings(), tmp_path / "none" / "notice.html")


def test_the_command_writes_the_notice(in_process, tmp_path):
    out = tmp_path / "notice.html"
    done = in_process("notice", "--out", out, "--set", "privacy.contact=Ada")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{out}: print it")
    assert "Ada" in out.read_text()
