"""What a user is told who has no key, no network or no kagglehub; nothing is fetched."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from edge.errors import SettingsError, SourceError
from train import download

ROOT = Path(__file__).parents[1]
CODE = "import sys, pathlib; from train import download; download.download(sys.argv[1], pathlib.Path(sys.argv[2]))"


class Refusing(BaseHTTPRequestHandler):
    """Kaggle, as it answers who may not."""

    def do_POST(self) -> None:
        self.send_error(403, "Forbidden")

    do_GET = do_CONNECT = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def refusing() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def nobody() -> str:
    """An address at which nobody answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def fetched(home: Path, name: str, proxy: str) -> subprocess.CompletedProcess[str]:
    """`download` in a process of its own, by the real kagglehub; all that it sends goes to `proxy`."""
    mine = {key: value for key, value in os.environ.items() if not key.upper().startswith("KAGGLE")}
    mine |= {"HOME": str(home), "PYTHONPATH": str(ROOT), "NO_PROXY": "", "no_proxy": ""}
    mine |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), proxy)
    command = [sys.executable, "-c", CODE, name, str(home / "new")]
    return subprocess.run(command, env=mine, capture_output=True, text=True, timeout=100)


@pytest.mark.parametrize("name", ["ck48", "icml_face_data"])
@pytest.mark.parametrize("answer", ["nobody", "refusing"])
def test_without_network_or_key_one_line_says_what_to_do(tmp_path, request, name, answer):
    pytest.importorskip("kagglehub")
    done = fetched(tmp_path, name, request.getfixturevalue(answer))
    last = done.stderr.rstrip().splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith(f"edge.errors.SourceError: {download.PLACES[name].page}: not fetched (")
    assert "kaggle.json" in last and "KAGGLE_USERNAME" in last and "consent" in last


def test_without_kagglehub_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(SourceError, match="pip install kagglehub"):
        download.download("ck48", tmp_path / "new")


def test_an_unknown_name_is_refused_with_those_that_there_are(tmp_path):
    with pytest.raises(SettingsError, match="'fer': expected one of fer2013-folders, icml_face_data, ck48"):
        download.download("fer", tmp_path / "new")


def test_a_folder_that_has_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SettingsError, match="not empty"):
        download.download("ck48", tmp_path)
