"""`python -m train`: fit a network, or evaluate one."""

import argparse
import sys
from pathlib import Path

from edge.errors import EmotionEdgeError


def main() -> int:
    """Run one subcommand; 2 and one line for what the user can mend."""
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    fit = commands.add_parser("fit", help="train on the training split; goes on where it was interrupted")
    evaluate = commands.add_parser("evaluate", help="measure a trained network on a split that it has not seen")
    for each in (fit, evaluate):
        each.add_argument("--data", type=Path, action="append", required=True, help="data set; may be given again")
        each.add_argument("--run", type=Path, required=True, help="folder of the run")
    fit.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="instead of the recipe's: epochs=60")
    fit.add_argument("--teacher", type=Path, help="file of `train distill`")
    evaluate.add_argument("--split", choices=("validation", "test"), default="validation")
    given = parser.parse_args()
    try:
        return _fit(given) if given.command == "fit" else _evaluate(given)
    except EmotionEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _fit(given: argparse.Namespace) -> int:
    from train.fit import fit
    from train.recipe import Recipe, changed

    fit(given.data, given.run, changed(Recipe(), dict(each.split("=", 1) for each in given.set)), given.teacher)
    return 0


def _evaluate(given: argparse.Namespace) -> int:
    from train.evaluate import evaluate

    figures = evaluate(given.data, given.run, given.split)
    print(f"{given.split}: accuracy {figures['accuracy']:.2%} of {figures['n']}; tables in {given.run}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
