"""`python -m benchmarks`: how fast, how soon, how small; each case in a process of its own, all of it as JSON."""

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import (
    baseline,
    board,
    compare,
    daemon,
    detector,
    model,
    pipeline,
    plot,
    soak,
    stage,
    startup,
    throttled,
    webcam,
)
from benchmarks.result import Document, as_markdown
from edge.errors import EmotionEdgeError, OutputError, SettingsError

MEASURES: dict[str, Any] = {
    "pipeline": pipeline,
    "webcam": webcam,
    "detector": detector,
    "model": model,
    "stage": stage,
    "startup": startup,
    "daemon": daemon,
    "throttled": throttled,
    "baseline": baseline,
    "soak": soak,
    "board": board,
}
"""Each has `options(parser)`, and `asked(given, tell)`, which measures."""


def main(argv: Sequence[str] | None = None) -> int:
    """0 when it was measured, 2 for what the user can mend."""
    given = _parser().parse_args(argv)
    try:
        _refuse_nothing(given)
        given.act(given)
    except EmotionEdgeError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="BENCHMARK")
    for name, module in MEASURES.items():
        about = module.__doc__.partition(": ")[2].partition("\n\n")[0].replace("\n", " ")
        one = commands.add_parser(name, help=about.partition(":")[0].rstrip("."), description=about)
        module.options(one)
        one.add_argument(
            "--out", type=Path, metavar="FILE.json", help="write the figures here, and a table beside them"
        )
        one.set_defaults(act=_measure, asked=module.asked)
    _add_readers(commands)
    return parser


def _add_readers(commands: Any) -> None:
    show = commands.add_parser("show", help="a result as a table, and as a picture")
    show.add_argument("result", type=Path, metavar="FILE.json")
    show.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the cases side by side")
    show.set_defaults(act=_show)
    comparing = commands.add_parser("compare", help="what differs between two results by more than chance")
    comparing.add_argument("first", type=Path, metavar="A.json")
    comparing.add_argument("second", type=Path, metavar="B.json")
    comparing.set_defaults(act=_compare)
    pairing = commands.add_parser("pair", help="another checkout and this one in turn, then compared")
    pairing.add_argument("other", type=Path, metavar="CHECKOUT", help="the other's folder; ours is B")
    pairing.add_argument("words", nargs="+", metavar="WORD", help="a benchmark and its options, after --")
    pairing.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    pairing.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for A.json and B.json")
    pairing.set_defaults(act=_pair)


def _refuse_nothing(given: argparse.Namespace) -> None:
    for name, value in vars(given).items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, int | float) and not 0 < each < math.inf:
                raise SettingsError(f"--{name} {each:g}: expected more than 0")


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def _measure(given: argparse.Namespace) -> None:
    if given.out and not os.access(folder := given.out.absolute().parent, os.W_OK):  # said before, not after
        raise OutputError(f"{folder}: no result can be written there: expected a folder that is, as --out")
    result = given.asked(given, _tell)
    for doubt in result["doubts"]:
        _tell(f"doubtful: {doubt}")
    if given.out:
        _save(given.out, result)
    else:
        print(_json(result), end="")


def _show(given: argparse.Namespace) -> None:
    result = compare.read(given.result)
    print(as_markdown(result), end="")
    if given.plot:
        plot.draw(result, given.plot)


def _compare(given: argparse.Namespace) -> None:
    print(compare.as_markdown(compare.read(given.first), compare.read(given.second)), end="")


def _pair(given: argparse.Namespace) -> None:
    first, second = compare.pair(given.other, given.words, given.rounds, _tell)
    _save(given.out / "A.json", first)
    _save(given.out / "B.json", second)
    print(compare.as_markdown(first, second), end="")


def _json(result: Document) -> str:
    return json.dumps(result, indent=1) + "\n"


def _save(out: Path, result: Document) -> None:
    table = board.as_markdown(result) if result["benchmark"] == "board" else as_markdown(result)
    for path, text in ((out, _json(result)), (out.with_suffix(".md"), table)):
        try:
            path.write_text(text)
        except OSError as error:
            raise OutputError(f"{path}: cannot write the figures: {error.strerror}") from error
        _tell(f"written: {path}")


if __name__ == "__main__":
    sys.exit(main())
