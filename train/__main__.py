"""`python -m train`: from data sets to a network that is known to be good; each step is a command of its own."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.errors import EmotionEdgeError, SettingsError
from train.data import HEADS

Parser = argparse.ArgumentParser

STEPS = """steps, in their usual order:
  build        all of it: data set in, device file out
  download     fetch a data set from Kaggle
  faces        cut the faces out of photos
  import       data sets as one manifest, with splits
  audit        a page and a list of what is wrong with the faces
  examples     a page that shows what augmentation does
  fit          train; goes on where it was interrupted
  distill      keep teachers' answers for a student to learn from
  sweep        search the recipe's settings
  evaluate     all figures of a run or a .tflite file
  matrix       several models on several data sets
  index        one table of what was evaluated
  predict      labels for pictures of faces, as CSV"""


def main(words: list[str] | None = None) -> int:
    """Run one subcommand; 2 and one line for what the user can mend, 130 after Ctrl-C."""
    given = _parser().parse_args(words)
    try:
        return int(given.do(given) or 0)
    except EmotionEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it was", file=sys.stderr)
        return 130


def _parser() -> Parser:
    parser = Parser(
        prog="python -m train",
        description=__doc__,
        epilog=STEPS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="STEP", required=True)
    for name, add in COMMANDS.items():
        add(commands.add_parser(name, description=_line(name)))
    return parser


def _line(name: str) -> str:
    """What STEPS says of a step."""
    said = next(line for line in STEPS.splitlines() if line.split()[:1] == [name])
    return said.split(maxsplit=1)[1].capitalize() + "."


def _data(parser: Parser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        action="append",
        required=True,
        metavar="PATH",
        help="data set or manifest; may be repeated",
    )


def _out(parser: Parser, what: str) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="PATH", help=what)


def _recipe(parser: Parser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of the recipe, e.g. epochs=60, balance.power=0.5",
    )


def _add_build(parser: Parser) -> None:
    _data(parser)
    _out(parser, "folder for everything that is made")
    _recipe(parser)
    parser.add_argument("--name", default="emotion", help="of the model (default: %(default)s)")
    parser.add_argument(
        "--head", choices=HEADS, default="votes", help="what the device file answers (default: %(default)s)"
    )
    parser.add_argument(
        "--gate", action="append", default=[], metavar="WORD", help="for `python -m quantize`, e.g. --gate=--qat=5"
    )
    parser.set_defaults(do=_build)


def _build(given: argparse.Namespace) -> int:
    from train.build import build

    return build(given.data, given.out, given.name, given.head, given.set, given.gate)


def _add_download(parser: Parser) -> None:
    parser.add_argument("name", help="which; another word lists them")
    _out(parser, "new folder")
    parser.set_defaults(do=_download)


def _download(given: argparse.Namespace) -> None:
    from train.download import download

    print(download(given.name, given.out))


def _add_faces(parser: Parser) -> None:
    parser.add_argument("photos", type=Path, metavar="FOLDER", help="photos, or folders of them; the tree is kept")
    _out(parser, "new folder")
    parser.add_argument("--which", choices=("largest", "all", "only"), default="largest", help="of a photo's faces")
    parser.add_argument("--min-face-px", type=float, default=40.0, metavar="PX", help="(default: %(default)s)")
    parser.add_argument("--side", type=int, default=96, metavar="PX", help="of the pictures (default: %(default)s)")
    parser.add_argument("--range", choices=("short", "full"), default="short", help="of the detector")
    parser.set_defaults(do=_faces)


def _faces(given: argparse.Namespace) -> None:
    from train.extract import REPORT, Extraction, extract

    how = Extraction(given.which, given.min_face_px, given.side, given.range)
    counts = extract(given.photos, given.out, how)
    print(", ".join(f"{name}: {count}" for name, count in counts.most_common()), f"; see {given.out / REPORT}", sep="")


def _add_import(parser: Parser) -> None:
    _data(parser)
    _out(parser, "manifest to write (.parquet)")
    parser.add_argument("--seed", type=int, default=0, help="of the splits that a data set does not have itself")
    parser.set_defaults(do=_import)


def _import(given: argparse.Namespace) -> None:
    from train import importers, manifest
    from train.data import joined, marked_copies

    sets = [(path.resolve(), importers.with_splits(path, given.seed)) for path in given.data]
    manifest.write(given.out, sets)
    print(manifest.summary(marked_copies(joined([faces for _, faces in sets]))))


def _add_audit(parser: Parser) -> None:
    _data(parser)
    _out(parser, "folder for audit.html and audit.csv, outside of any repository: the page shows faces")
    parser.add_argument("--run", type=Path, help="a run whose network judges the labels")
    parser.set_defaults(do=_audit)


def _audit(given: argparse.Namespace) -> None:
    from train.audit import CSV, PAGE, audit

    found = audit(given.data, given.out, given.run)
    for kind, count in found["findings"].items():
        print(f"{count:6} {kind}")
    print(f"see {given.out / PAGE}; edit {given.out / CSV} and give it to `fit --exclude`")


def _add_examples(parser: Parser) -> None:
    _data(parser)
    _out(parser, "folder for the page, outside of any repository: it shows faces")
    _recipe(parser)
    parser.set_defaults(do=_examples)


def _examples(given: argparse.Namespace) -> None:
    from train.examples import examples

    print(examples(given.data, given.out, _settings(given)))


def _add_fit(parser: Parser) -> None:
    _data(parser)
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    _recipe(parser)
    parser.add_argument("--teacher", type=Path, metavar="FILE", help="what `distill` wrote")
    parser.add_argument("--exclude", type=Path, metavar="CSV", help="what `audit` wrote")
    parser.add_argument(
        "--start", type=Path, metavar="RUN", help="begin with its weights, or a .tflite's, e.g. to learn from own faces"
    )
    parser.add_argument("--require-fps", type=float, metavar="N", help="refuse a network that is slower here")
    parser.set_defaults(do=_fit)


def _fit(given: argparse.Namespace) -> None:
    from train.fit import fit

    if given.require_fps:
        from train.speed import require

        print(f"{require(_settings(given), given.require_fps):.0f} images a second")
    fit(given.data, given.run, _settings(given), given.teacher, given.exclude, given.start)


def _settings(given: argparse.Namespace) -> Any:
    from train.recipe import Recipe, changed

    return changed(Recipe(), _pairs(given.set))


def _pairs(words: list[str]) -> dict[str, str]:
    pairs = [word.partition("=") for word in words]
    wrong = [name for name, sign, _ in pairs if not sign]
    if wrong:
        raise SettingsError(f"{wrong[0]!r}: expected NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _add_distill(parser: Parser) -> None:
    _data(parser)
    _out(parser, "file to write (.npz)")
    parser.add_argument(
        "--teacher", type=Path, action="append", required=True, metavar="RUN", help="or .tflite; may be repeated"
    )
    parser.set_defaults(do=_distill)


def _distill(given: argparse.Namespace) -> None:
    from train.distill import distill

    print(f"{given.out}: answers for {distill(given.data, given.teacher, given.out)} training faces")


def _add_sweep(parser: Parser) -> None:
    _data(parser)
    _out(parser, "folder; workers that are given the same one share the work")
    _recipe(parser)
    parser.add_argument(
        "--vary", action="append", required=True, metavar="NAME=RANGE", help="low:high, low:high:log, a|b"
    )
    parser.add_argument("--trials", type=int, default=20, help="in all (default: %(default)s)")
    parser.set_defaults(do=_sweep)


def _sweep(given: argparse.Namespace) -> None:
    from train.sweep import sweep

    best = sweep(given.data, given.out, _pairs(given.vary), given.trials, _settings(given))
    print(f"best: {best['accuracy']:.2%} by {best['settings']}, {given.out / best['run']}")


def _add_evaluate(parser: Parser) -> None:
    _data(parser)
    parser.add_argument("--model", type=Path, required=True, help="folder of a run, or a .tflite file")
    _out(parser, "folder for tables and plots")
    parser.add_argument("--split", choices=("validation", "test", "all"), default="validation")
    parser.add_argument("--truth", choices=HEADS, help="what is judged by (default: what the model learned first)")
    parser.add_argument("--manifest", type=Path, help="manifest.txt of the run that a .tflite file was made from")
    parser.add_argument(
        "--changed-faces", type=int, default=1000, help="so many also blurred, dark, ... (default: %(default)s)"
    )
    parser.set_defaults(do=_evaluate)


def _evaluate(given: argparse.Namespace) -> None:
    from train.evaluate import evaluate

    figures = evaluate(
        given.data, given.model, given.out, given.split, given.truth, given.manifest, given.changed_faces
    )
    print(f"{given.split}: accuracy {figures['accuracy']:.2%} of {figures['n']}; tables in {given.out}")


def _add_matrix(parser: Parser) -> None:
    _data(parser)
    parser.add_argument("--model", type=Path, action="append", required=True, help="may be repeated")
    _out(parser, "files to write, without a suffix")
    parser.add_argument("--split", choices=("validation", "test", "all"), default="validation")
    parser.set_defaults(do=_matrix)


def _matrix(given: argparse.Namespace) -> None:
    from train.matrix import matrix

    matrix(given.data, given.model, given.out, given.split)
    print(given.out.with_suffix(".md").read_text(encoding="utf-8"))


def _add_index(parser: Parser) -> None:
    parser.add_argument("places", type=Path, nargs="+", metavar="REPORT", help="reports, runs, or folders of them")
    _out(parser, "files to write, without a suffix")
    parser.add_argument("--split", action="append", help="(default: validation)")
    parser.set_defaults(do=_index)


def _index(given: argparse.Namespace) -> None:
    from train.index import index

    index(given.places, given.out, tuple(given.split or ["validation"]))
    print(given.out.with_suffix(".md").read_text(encoding="utf-8"))


def _add_predict(parser: Parser) -> None:
    parser.add_argument(
        "pictures", type=Path, nargs="+", metavar="PICTURE", help="of one face each, or folders of them"
    )
    parser.add_argument("--model", type=Path, required=True, help="folder of a run, or a .tflite file")
    _out(parser, "CSV file: image_path,emotion,...")
    parser.set_defaults(do=_predict)


def _predict(given: argparse.Namespace) -> None:
    from train.evaluate import predict

    print(f"{given.out}: {predict(given.pictures, given.model, given.out)} faces")


COMMANDS: dict[str, Callable[[Parser], None]] = {
    "build": _add_build,
    "download": _add_download,
    "faces": _add_faces,
    "import": _add_import,
    "audit": _add_audit,
    "examples": _add_examples,
    "fit": _add_fit,
    "distill": _add_distill,
    "sweep": _add_sweep,
    "evaluate": _add_evaluate,
    "matrix": _add_matrix,
    "index": _add_index,
    "predict": _add_predict,
}

if __name__ == "__main__":
    sys.exit(main())
