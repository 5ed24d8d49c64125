"""The command line: what was asked becomes settings, and each subcommand is handed to the module that does it."""

import argparse
import errno
import io
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any

from edge import __version__, config, journal, listing
from edge.errors import EmotionEdgeError, ModelError, OutputError

DESCRIPTION = """Find faces, read their expressions, tell what changed.

  emotion-edge run --source demo        the built-in clip
  emotion-edge run --source 0 --window  the first camera, with a picture
  emotion-edge image photo.jpg          one photo
  emotion-edge events list              what was recorded
  emotion-edge doctor                   does everything work here?

Events go to standard output as JSON lines, everything else to standard error. No picture is stored or sent, unless
you ask for --record. An expression is not a feeling: do not judge people by it, least of all at work or in school."""

STOPS = signal.SIGINT, signal.SIGTERM

UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""What a full or broken disk says to a print()."""


def main(argv: Sequence[str] | None = None) -> int:
    """0 when all went well or `run` was stopped, 1 when a check failed, 2 for what the user can mend.

    SIGINT and SIGTERM end the other commands as they end any program, and without Python's traceback.
    """
    _on_stops(signal.SIG_DFL)
    _mend_streams()
    try:
        given = _parser().parse_args(argv)
        if sys.stdout is None and given.do is not _run:
            raise OutputError("standard output is closed: expected an open one")
        _log_to_stderr(given.verbose)
        return int(given.do(given))
    except EmotionEdgeError as error:
        _complain(error)
        return 2
    except BrokenPipeError:
        # The reader of our output went away; nothing is left to tell it, at exit neither.
        _print_nowhere()
        return 0
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        _complain(
            f"standard output cannot be written: {error.strerror}; what it holds is not all: make room, try again"
        )
        _print_nowhere()
        return 2


def _on_stops(do: "Callable[[int, FrameType | None], None] | signal.Handlers") -> None:
    for each in STOPS:
        signal.signal(each, do)


def _leave(_number: int, _frame: FrameType | None) -> None:
    """End at once, for as long as nothing is open that must be closed: imports and finalizers swallow an interrupt,
    or make another error of it."""
    os._exit(0)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    _on_stops(_pass_over)
    raise KeyboardInterrupt


def _pass_over(_number: int, _frame: FrameType | None) -> None:
    """Not SIG_IGN: for a second signal that is already on its way Python would print a traceback."""


@contextmanager
def interruptible() -> Generator[None, None, None]:
    """SIGTERM and Ctrl-C are one: in this block the first raises KeyboardInterrupt; what comes later is passed over."""
    try:
        _on_stops(_interrupt)
        yield
    finally:
        _on_stops(_pass_over)


def _mend_streams() -> None:
    """Descriptors 0 to 2 are open, so that no file of ours becomes one of them and is given what libraries print."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # to the end of the process
    if isinstance(sys.stdout, io.TextIOWrapper):
        # File names are bytes and come out as they were; whole lines, so that leaving at once loses none.
        sys.stdout.reconfigure(errors="surrogateescape", line_buffering=True)


def _print_nowhere() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(what: object) -> None:
    mark = journal.ERROR_MARK if journal.is_journal(sys.stderr) else ""
    print(f"{mark}emotion-edge: {what}", file=sys.stderr)


def _log_to_stderr(verbose: bool) -> None:
    """To the journal, where standard error goes there."""
    kind = journal.Journal if journal.is_journal(sys.stderr) else logging.StreamHandler
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(handlers=[kind(sys.stderr)], level=level, format="%(levelname)s %(message)s")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="emotion-edge", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"emotion-edge {__version__}")
    parser.add_argument("--verbose", action="store_true", help="log more")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_run(_command(commands, "run", _run, "watch a camera, a video, a folder of pictures, or the demo"))
    _add_image(_command(commands, "image", _image, "read the faces in photos"))
    _add_models(_command(commands, "models", _models, "list the emotion models, and how good they are"))
    cameras = _command(commands, "cameras", _cameras, "list the cameras, and what each can do")
    cameras.add_argument("--json", action="store_true", help="one JSON object a camera, with all sizes and rates")
    _add_replay(_command(commands, "replay", _replay, "turn a trace of `run --trace` into events again"))
    _add_notice(_command(commands, "notice", _notice, "write the notice for the people in front of the camera"))
    listing.add_arguments(_command(commands, "events", listing.show_events, "show the record of events"))
    doctor = _command(commands, "doctor", _doctor, "check this machine and say what to do")
    _add_settings(doctor)
    _add_source(doctor)
    doctor.add_argument("--json", action="store_true", help="one document, for other programs")
    return parser


def _command(commands: Any, name: str, do: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(do=do)
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (TOML), see systemd/edge.toml")
    parser.add_argument(
        "--model", metavar="NAME", help="emotion model: emotion-8, another of `models`, or a .tflite file"
    )
    parser.add_argument("--backend", choices=("litert", "mediapipe"), help="who runs the face detector")
    parser.add_argument("--range", choices=("auto", "short", "full"), help="faces within 2 m, or in the whole room")
    _add_set(parser)


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="TABLE.NAME=VALUE",
        help="any setting, such as events.dwell_seconds=0.8; may be given again",
    )


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source", help='"demo", a camera (0, /dev/video0, picamera), a video file or a folder of pictures'
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_settings(parser)
    _add_source(parser)
    parser.add_argument(
        "--context", choices=config.CONTEXTS, help="what a camera is for, see [privacy] in the settings"
    )
    parser.add_argument("--events", type=Path, metavar="FILE", help="append events here instead of standard output")
    parser.add_argument("--store", type=Path, metavar="FILE.db", help="keep events in this lasting record, too")
    parser.add_argument("--no-pace", action="store_true", help="read every frame of a file, as fast as it goes")
    parser.add_argument("--window", action="store_true", help="show the picture (q or Esc quits)")
    parser.add_argument("--record", type=Path, metavar="FILE.mp4", help="STORE the picture, with labels, as a video")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="note what is found in each frame, for `replay`")
    parser.add_argument("--spans", type=Path, metavar="FILE.json", help="note when each frame was where, for Perfetto")


def _add_replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trace", type=Path, metavar="FILE", help="what `run --trace FILE` wrote")
    _add_set(parser)


def _add_notice(parser: argparse.ArgumentParser) -> None:
    _add_settings(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.html", help="one sheet of A4; or FILE.pdf")


def _add_image(parser: argparse.ArgumentParser) -> None:
    _add_settings(parser)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="photos, or folders of them")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_const", const="json", dest="form", help="one JSON object a photo")
    form.add_argument("--csv", action="store_const", const="csv", dest="form", help="image_path,emotion,... a face")
    parser.set_defaults(form="table")


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="default: the models that ship")
    parser.add_argument("--rollback", type=Path, metavar="FILE", help="put back the model that was in FILE before")
    parser.add_argument("--json", action="store_true", help="the whole card")


def settings_of(given: argparse.Namespace) -> config.Settings:
    """The settings file, with the flags over it."""
    settings = config.read(given.config) if given.config else config.Settings()
    changes: dict[str, dict[str, Any]] = {
        "camera": {
            "source": getattr(given, "source", None),
            "pace": False if getattr(given, "no_pace", False) else None,
        },
        "faces": {"backend": given.backend, "range": given.range},
        "model": {"file": given.model},
        "events": {"path": getattr(given, "events", None)},
        "store": {"path": getattr(given, "store", None)},
        "privacy": {"context": getattr(given, "context", None)},
    }
    for table, values in changes.items():
        said = {name: value for name, value in values.items() if value is not None}
        settings = replace(settings, **{table: replace(getattr(settings, table), **said)})
    return config.changed(settings, given.set)


def _run(given: argparse.Namespace) -> int:
    _on_stops(_leave)
    from edge.notify import Systemd
    from edge.run import Wishes, run

    systemd = Systemd()
    wishes = Wishes(
        read=lambda: settings_of(given),
        interruptible=interruptible,
        watched=[given.config] if given.config else [],
        window=given.window,
        record=given.record,
        trace=given.trace,
        spans=given.spans,
        systemd=systemd,
    )
    if not (sys.stdin and sys.stdin.isatty()):  # where there is a terminal, its hang-up is our end
        signal.signal(signal.SIGHUP, lambda *_: wishes.orders.append("reload"))
    try:
        run(wishes)
    except KeyboardInterrupt:
        pass
    except EmotionEdgeError as error:
        systemd.show(str(error))
        raise
    finally:
        _on_stops(signal.SIG_IGN)  # a handler of ours does not live to the end of Python: they would kill us
    return 0


def _replay(given: argparse.Namespace) -> int:
    from edge.replay import replay

    replay(given.trace, given.set, sys.stdout)
    return 0


def _notice(given: argparse.Namespace) -> int:
    from edge.notice import write_notice

    write_notice(settings_of(given), given.out)
    print(f"{given.out}: print it and put it up where the camera looks, then set [privacy] notice_shown = true")
    return 0


def _image(given: argparse.Namespace) -> int:
    from edge.photos import print_photos

    return print_photos(given.files, settings_of(given), given.form)


def _models(given: argparse.Namespace) -> int:
    if given.rollback:
        from edge.succession import roll_back

        roll_back(given.rollback)
        print(f"{given.rollback}: the model before is back; a daemon that uses this file reads it now")
        return 0
    from edge.classifier import shipped
    from edge.contract import read_card, read_model_file

    cards, failed = {}, False
    for path in given.files or shipped().values():
        try:
            cards[path] = read_card(read_model_file(path), str(path))
        except ModelError as error:
            failed = True
            _complain(error)
    if given.json:
        print(json.dumps([card.as_document() for card in cards.values()], indent=1, ensure_ascii=False))
    else:
        print("\n".join(f"{path}\n{card.summary()}" for path, card in cards.items()))
    return 2 if failed else 0


def _cameras(given: argparse.Namespace) -> int:
    from edge.sources.cameras import describe

    found = list(describe())
    for each in found:
        print(json.dumps(asdict(each), ensure_ascii=False) if given.json else each)
    if not found:
        print(
            "no camera: /dev/video* is empty; is it plugged in, and is this user in the group `video`?", file=sys.stderr
        )
    return 0


def _doctor(given: argparse.Namespace) -> int:
    from edge.doctor import print_checks

    return print_checks(settings_of(given), given.json)
