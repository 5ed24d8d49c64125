"""Doctor on what is around: a real broker, the page's port, cameras, and tools that answer as the real ones do."""

import venv
from contextlib import closing
from pathlib import Path
from socket import create_server
from threading import Thread

import pytest

from edge import config
from edge.doctor import camera, check, network, service
from edge.page.host import Page
from tests.broker import PASSWORD, USER, OldDoor, certificates, listen, mosquitto

__all__ = ["certificates", "listen", "mosquitto"]  # fixtures


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """On a busy machine nobody is hurried."""
    monkeypatch.setattr(network, "ANSWER_SECONDS", 30.0)
    monkeypatch.setattr(check.ask, "__kwdefaults__", {"seconds": 50.0})


@pytest.fixture
def impatience(monkeypatch, patience):
    """Who does not answer is not waited for."""
    monkeypatch.setattr(network, "ANSWER_SECONDS", 0.2)


def asked(port: int, **said) -> config.Settings:
    return config.Settings(mqtt=config.Mqtt(host=said.pop("host", "localhost"), port=port, **said))


def secret(folder: Path, text: str = PASSWORD) -> Path:
    (folder / "password").write_text(text + "\n")
    return folder / "password"


def test_without_a_broker_in_the_settings_none_is_asked():
    assert network.broker(config.Settings()).found == "none is set"


def test_a_broker_with_tls_and_password_takes_us(mosquitto, certificates, tmp_path):
    made = mosquitto(f"certfile {certificates.good}", f"keyfile {certificates.key}", secret=True)
    said = {"user": USER, "password_file": secret(tmp_path), "tls": True, "ca_file": certificates.authority}
    made = network.broker(asked(made.port, **said))
    assert (made.verdict, made.found) == ("ok", "localhost takes us as edge, MQTT 5, TLS")


def test_a_look_changes_nothing_that_others_see(mosquitto, listen):
    made = mosquitto()
    listener = listen(made)
    assert network.broker(asked(made.port)).verdict == "ok"
    listener.say("the/end", "")
    assert [each.topic for each in listener.until(lambda told: told and told[-1].topic == "the/end")] == ["the/end"]


def test_a_look_that_is_cut_off_does_not_call_a_running_daemon_offline():
    """Its last will, which a broker tells for who vanishes, is not the daemon's."""
    heard = []
    with create_server(("127.0.0.1", 0)) as server:

        def answer():
            guest, _ = server.accept()
            heard.append(guest.recv(4096))
            guest.close()

        broker = Thread(target=answer)
        broker.start()
        assert network.broker(asked(server.getsockname()[1])).verdict == "fail"
        broker.join()
    assert b"/doctor" in heard[0] and b"availability" not in heard[0]


def test_a_broker_of_the_older_version_takes_us(mosquitto):
    door = OldDoor(mosquitto())
    with closing(door):
        assert "MQTT 3.1.1" in network.broker(asked(door.port)).found
    assert door.turned_away == 1


def test_a_refused_password_fails_and_is_not_shown(mosquitto, tmp_path):
    made = mosquitto(secret=True)
    said = {"user": USER, "password_file": secret(tmp_path, "wr0ng-Passw0rd")}
    made = network.broker(asked(made.port, **said))
    assert made.verdict == "fail" and "uthorized" in made.found and "password_file" in made.found
    assert "wr0ng" not in str(made) and "[mqtt]" in made.mend


def test_a_certificate_that_nobody_trusts_fails(mosquitto, certificates):
    made = mosquitto(f"certfile {certificates.good}", f"keyfile {certificates.key}")
    made = network.broker(asked(made.port, tls=True))
    assert made.verdict == "fail" and "ca_file" in made.found


def test_where_nothing_listens_and_where_nothing_answers_it_fails(impatience):
    with create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert "does not answer" in network.broker(asked(port)).found
    made = network.broker(asked(port))
    assert made.verdict == "fail" and "no broker listens" in made.found


def test_a_broker_that_others_can_listen_in_on_is_a_warning(mosquitto):
    """As seen from here: 127.0.0.2 is none of the names of this machine that the settings know."""
    with create_server(("127.0.0.2", 0)) as free:
        port = free.getsockname()[1]
    mosquitto(f"listener {port} 127.0.0.2")
    made = network.broker(asked(port, host="127.0.0.2", tls=False))
    assert made.verdict == "warn" and "no TLS: the network can read along" in made.found and made.mend


@pytest.mark.parametrize(
    ("path", "verdict"),
    [("/run/credentials/emotion-edge.service/mqtt-password", "warn"), ("/etc/emotion-edge/none", "fail")],
)
def test_a_password_that_cannot_be_read_fails_but_not_a_services_own(path, verdict):
    made = network.broker(asked(1, user=USER, password_file=Path(path)))
    assert made.verdict == verdict and path in made.found and made.mend


def test_a_port_that_others_have_is_taken(impatience):
    with create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        taken = network.page_port(config.Page(address="127.0.0.1", port=port))
    assert taken.verdict == "fail" and f"sport = :{port}" in taken.mend


def test_the_pages_port_is_free_or_ours(tmp_path):
    assert network.page_port(config.Page()).found == "no page is set"
    with create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    settings = config.Page(address="127.0.0.1", port=port)
    assert network.page_port(settings).verdict == "ok"
    with closing(Page(settings, None, tmp_path)):
        ours = network.page_port(settings)
    assert (ours.verdict, ours.found) == ("ok", f"127.0.0.1, port {port}, held by a running emotion-edge")


def test_an_address_of_another_machine_fails():
    made = network.page_port(config.Page(address="192.0.2.1", port=8088, token_file=Path("/dev/null")))
    assert made.verdict == "fail" and "192.0.2.1" in made.found


def tool(folder: Path, name: str, text: str, code: int = 0) -> Path:
    """A program that prints `text` and ends with `code`."""
    (folder / f"{name}.said").write_text(text)
    (folder / name).write_text(f"#!/bin/sh\ncat '{folder}/{name}.said'\nexit {code}\n")
    (folder / name).chmod(0o755)
    return folder / name


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """The folder where programs are looked for, besides `sh` and `cat`, and no others."""
    for name in ("sh", "cat"):
        (tmp_path / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


RUNS = """Id=emotion-edge.service
LoadState=loaded
ActiveState=active
SubState=running
Result=success
ExecMainStatus=0
NRestarts=0
UnitFileState=enabled
WatchdogUSec=30s
"""


@pytest.mark.parametrize(
    ("changes", "verdict", "says"),
    [
        ({}, "ok", "emotion-edge.service is active (running), watchdog 30s, 0 restarts"),
        ({"LoadState=loaded": "LoadState=not-found"}, "ok", "not installed"),
        ({"ActiveState=active": "ActiveState=inactive", "running": "dead"}, "warn", "enable --now"),
        ({"NRestarts=0": "NRestarts=4"}, "warn", "4 restarts since"),
        ({"UnitFileState=enabled": "UnitFileState=disabled"}, "warn", "does not start at boot"),
        ({"WatchdogUSec=30s": "WatchdogUSec=0"}, "warn", "a hang is not noticed"),
        ({"active": "failed", "Result=success": "Result=watchdog"}, "fail", "last end: watchdog"),
        ({"Result=success": "Result=exit-code", "MainStatus=0": "MainStatus=2"}, "fail", "exit-code, code 2"),
    ],
)
def test_the_service_is_well_or_says_what_to_do(tools, changes, verdict, says):
    text = RUNS
    for old, new in changes.items():
        text = text.replace(old, new)
    tool(tools, "systemctl", text)
    made = service.service()
    assert made.verdict == verdict and says in made.found + made.mend
    assert bool(made.mend) == (verdict != "ok")


def test_of_several_services_the_worst_counts(tools):
    other = RUNS.replace("emotion-edge.", "emotion-edge@door.").replace("Result=success", "Result=start-limit-hit")
    tool(tools, "systemctl", f"{RUNS}\n{other}")
    made = service.service()
    assert made.verdict == "fail" and "emotion-edge@door.service" in made.mend


@pytest.mark.parametrize(
    "text", ["", "System has not been booted with systemd as init system (PID 1). Can't operate.\n"]
)
def test_without_systemd_there_is_no_service(tools, text):
    if text:
        tool(tools, "systemctl", text, code=1)
    assert service.service().found == "systemd does not run here"


NOBODY = "No cameras available!\n"
MODULE = "Available cameras\n-----------------\n0 : imx708 [4608x2592 10-bit RGGB] (/base/soc/i2c0mux/imx708@1a)\n"
VIRTUAL = "[0:00:01] INFO Camera camera_manager.cpp:327 libcamera v0.4\nAvailable cameras:\n1: Internal (Virtual0)\n"


@pytest.mark.parametrize(
    ("name", "text", "source", "verdict", "says"),
    [
        ("rpicam-hello", MODULE, "picamera", "ok", "0 : imx708 [4608x2592"),
        ("cam", VIRTUAL, "picamera:0", "ok", "1: Internal (Virtual0)"),
        ("rpicam-hello", NOBODY, "picamera", "fail", "ribbon cable"),
        ("libcamera-hello", NOBODY, "0", "ok", "it sees no camera"),
        ("other", "", "picamera", "ok", "none of its programs is installed"),
    ],
)
def test_what_libcamera_sees_counts_where_it_is_asked_for(tools, name, text, source, verdict, says):
    tool(tools, name, text)
    made = camera.libcamera(config.Camera(source=source))
    assert made.verdict == verdict and says in made.found + made.mend


@pytest.fixture(scope="module")
def system_python(tmp_path_factory):
    """A Python that has nothing but itself, and where its packages would be."""
    folder = tmp_path_factory.mktemp("system") / "python"
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    return folder / "bin" / "python3", packages


CLASH = "raise ValueError('numpy.dtype size changed')"
LISTS = """
import atexit, sys
print("[0:00:01.5] [12] INFO Camera camera_manager.cpp:327 libcamera v0.4", file=sys.stderr)
atexit.register(lambda: print("[0:00:01.9] [12] WARN something", file=sys.stderr))
atexit.register(sys.stdout.flush)
class Picamera2:
    @staticmethod
    def global_camera_info():
        return CAMERAS
"""


@pytest.mark.parametrize(
    ("module", "source", "verdict", "says"),
    [
        (LISTS.replace("CAMERAS", "[{'Model': 'imx708', 'Id': 'x'}]"), "picamera", "ok", "cameras: imx708"),
        (LISTS.replace("CAMERAS", "[]"), "picamera", "fail", "ribbon cable"),
        (LISTS.replace("CAMERAS", "[]"), "0", "ok", "cameras: none"),
        (CLASH, "picamera", "fail", "--reinstall python3-picamera2 python3-numpy"),
        (CLASH, "0", "warn", "numpy.dtype size changed"),
        ("", "picamera", "fail", "sudo apt install python3-picamera2"),
        ("", "0", "ok", "not needed"),
    ],
)
def test_picamera2_imports_in_the_systems_python_or_says_what_to_do(system_python, module, source, verdict, says):
    python, packages = system_python
    (packages / "picamera2.py").unlink(missing_ok=True)
    if module:
        (packages / "picamera2.py").write_text(module)
    made = camera.picamera2(config.Camera(source=source), str(python))
    assert made.verdict == verdict and says in made.found + made.mend, made
    assert bool(made.mend) == (verdict != "ok")


@pytest.mark.parametrize(("source", "verdict"), [("picamera", "fail"), ("0", "ok")])
def test_without_a_system_python_there_is_no_picamera2(source, verdict):
    assert camera.picamera2(config.Camera(source=source), "/none/python3").verdict == verdict


@pytest.mark.parametrize(
    ("names", "verdict"), [({"pi", "video"}, "ok"), ({"root"}, "ok"), ({"pi", "render"}, "warn"), (set(), "warn")]
)
def test_a_user_without_the_group_of_cameras_gets_a_warning(names, verdict):
    made = camera.groups(names)
    assert (made.verdict, "usermod -aG video" in made.mend) == (verdict, verdict == "warn")


def test_what_a_camera_is_for_must_have_been_said():
    said = config.Camera(source="0")
    made = camera.use(config.Settings(said))
    assert made.verdict == "fail" and "context" in made.mend
    assert camera.use(config.Settings(said, privacy=config.Privacy(context="home"))).found == "home"
    assert camera.use(config.Settings()).verdict == "ok"


@pytest.mark.parametrize(
    ("there", "source", "verdict", "says"),
    [
        ([("/dev/null", "HD Webcam")], "/dev/null", "ok", "there are: /dev/null (HD Webcam)"),
        ([("/dev/null", "HD Webcam")], "picamera", "ok", "/dev/null (HD Webcam)"),
        ([("/dev/none", "HD Webcam")], "demo", "warn", "usermod -aG video"),
        ([("/dev/null", "HD Webcam")], "/dev/video99", "fail", "no camera at /dev/video99: there are: /dev/null"),
        ([], "demo", "warn", "plug one in"),
        ([], "picamera", "ok", "none"),
        ([], "99", "fail", "--source demo"),
    ],
)
def test_a_camera_is_there_and_may_be_opened_or_it_says_what_to_do(there, source, verdict, says, monkeypatch):
    """The list is made up, for these machines have no camera; the devices of this test are real, or not there."""
    monkeypatch.setattr("edge.sources.cameras.list_cameras", lambda: there)
    made = camera.video(config.Camera(source=source))
    assert made.verdict == verdict and says in made.found + made.mend
