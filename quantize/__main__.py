"""`python -m quantize`: from a trained run to an int8 `.tflite` with its card, if the gate lets it pass."""

import argparse
import shlex
import sys
from pathlib import Path

from edge.classifier import MODELS
from edge.errors import EmotionEdgeError
from quantize.convert import VARIANTS
from quantize.gate import Limits
from train.data import HEADS

LISTS = Path(__file__).parent


def main(words: list[str] | None = None) -> int:
    """0 when the model was written, 1 when the gate refused it, 2 for what the user can mend."""
    given = _parser().parse_args(words)
    try:
        return _promote(given)
    except EmotionEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    gate = Limits()
    parser = argparse.ArgumentParser(prog="python -m quantize", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, action="append", required=True, help="data set of the run; may be given again")
    add("--run", type=Path, required=True, help="folder of a finished `python -m train fit`")
    add("--head", choices=HEADS, default="votes", help="what the network answers, and its truth (default: %(default)s)")
    add("--source", action="append", default=[], metavar="NAME", help="judge on faces of this data set only")
    add("--name", default="emotion", help="of the model (default: %(default)s)")
    add("--version", default="0.1.0", help="of the model (default: %(default)s)")
    add("--out", type=Path, help="the file to write, instead of edge/models/NAME.tflite; its stem is the name then")
    add("--reports", type=Path, default=Path("docs/models"), help="folder for page, tables and plots")
    add("--promote", choices=("auto", *VARIANTS), default="int8", help="auto: the fastest that passes (default: int8)")
    add("--size-limit", type=int, default=gate.size_bytes, metavar="BYTES", help="(default: %(default)s)")
    add(
        "--accuracy-goal",
        type=float,
        default=gate.accuracy,
        metavar="SHARE",
        help="on validation (default: %(default)s)",
    )
    add("--ece-limit", type=float, default=gate.calibration_error, metavar="SHARE", help="(default: %(default)s)")
    add(
        "--calibration",
        type=Path,
        metavar="CSV",
        help="list of the faces that set the int8 ranges, instead of new ones",
    )
    add("--lists", type=Path, default=LISTS, help="folder for calibration-NAME.csv, when new ones are drawn")
    add(
        "--qat",
        type=int,
        default=0,
        metavar="EPOCHS",
        help="if int8 fails: fine-tune with fake quantization, try again",
    )
    add(
        "--tflite-runtime",
        type=Path,
        metavar="DIR",
        help="compare with tflite_runtime too, in an environment made there",
    )
    add("--serving", type=Path, metavar="DIR", help="write a SavedModel for TensorFlow Serving and a Keras file, too")
    return parser


def _promote(given: argparse.Namespace) -> int:
    from quantize.page import variants_table
    from quantize.promote import Order, promote

    out = given.out or MODELS / f"{given.name}.tflite"
    order = Order(
        data=given.data,
        run=given.run,
        head=given.head,
        out=out,
        reports=given.reports,
        lists=given.lists,
        version=given.version,
        sources=tuple(given.source),
        wanted=given.promote,
        limits=Limits(size_bytes=given.size_limit, accuracy=given.accuracy_goal, calibration_error=given.ece_limit),
        calibration=given.calibration,
        tune_epochs=given.qat,
        old_runtime=given.tflite_runtime,
        serving=given.serving,
        command=_command(given, out),
    )
    outcome = promote(order)
    if outcome.figures:
        print(variants_table(outcome.figures))
    for reason in outcome.reasons:
        print(f"{'note' if outcome.promoted else 'refused'}: {reason}", file=sys.stderr)
    if outcome.promoted is None:
        return 1
    print(f"{out}: {outcome.promoted}, {out.stat().st_size} bytes; page, tables and plots in {given.reports}")
    return 0


def _command(given: argparse.Namespace, out: Path) -> str:
    """The command that makes the same file, without the paths of this machine."""
    options: list[tuple[str, object]] = [
        *(("--data", each.name) for each in given.data),
        ("--run", "RUN"),
        ("--head", given.head),
        *(("--source", each) for each in given.source),
        ("--name", out.stem),
        ("--promote", given.promote),
        ("--size-limit", given.size_limit),
        ("--accuracy-goal", given.accuracy_goal),
        ("--ece-limit", given.ece_limit),
        ("--qat", given.qat),
    ]
    return shlex.join(["python", "-m", "quantize", *(str(word) for option in options for word in option)])


if __name__ == "__main__":
    sys.exit(main())
