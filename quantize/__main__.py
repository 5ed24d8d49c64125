"""`python -m quantize`: from a trained run to an int8 `.tflite` with its card, if the gate lets it pass."""

import argparse
import sys
from pathlib import Path

from edge.classifier import SHIPPED
from edge.errors import EmotionEdgeError, SourceError

CALIBRATION = Path(__file__).parent / "calibration.csv"


def main() -> int:
    """0 when the model was written, 1 when the gate refused it, 2 for what the user can mend."""
    parser = argparse.ArgumentParser(prog="python -m quantize", description=__doc__)
    parser.add_argument("--data", type=Path, action="append", required=True, help="data set; may be given again")
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished `python -m train fit`")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="the file to write (default: %(default)s)")
    parser.add_argument("--reports", type=Path, default=Path("docs/models"), help="folder for tables and plots")
    parser.add_argument("--calibration", type=Path, default=CALIBRATION, help="list of the faces that set the scales")
    parser.add_argument("--version", default="0.1.0", help="of the model (default: %(default)s)")
    given = parser.parse_args()
    try:
        return _promote(given)
    except EmotionEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _promote(given: argparse.Namespace) -> int:
    if not (given.run / "best.keras").is_file():
        raise SourceError(f"{given.run}: no best.keras there: expected the folder of a `python -m train fit`")
    from quantize.promote import promote

    reasons = promote(given.data, given.run, given.out, given.reports, given.calibration, given.version)
    for reason in reasons:
        print(f"refused: {reason}", file=sys.stderr)
    if not reasons:
        print(f"{given.out}: {given.out.stat().st_size} bytes; tables in {given.reports}")
    return 1 if reasons else 0


if __name__ == "__main__":
    sys.exit(main())
