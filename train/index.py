"""The results of many trainings side by side: one row for each model, the best first."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge.errors import SourceError
from train import metrics, tables
from train.evaluate import read_report
from train.recipe import Recipe

TITLE = "Models compared"


def index(places: Sequence[Path], out: Path, splits: Sequence[str] = ("validation",)) -> dict[str, Any]:
    """What the reports in `places` say, also as `out`.json and .md: a table for each split, truth and data.

    places  reports of `evaluate` (.json), and folders that are searched for reports, and for runs
    splits  reports on others are left out, and counted: models are chosen on validation faces
    A run without a report has a row with the accuracies of its training. SourceError if there is nothing to compare.
    """
    files = sorted({file for place in places for file in _reports(place)})
    reports = [read_report(file) for file in files]
    shown = [each for each in reports if each["protocol"]["split"] in splits]
    reported = {each["model"]["name"] for each in shown}
    runs = [_run(folder) for folder in _run_folders(places) if folder.name not in reported]
    if not shown and not runs:
        raise SourceError(
            f"{', '.join(map(str, places))}: {len(reports)} reports, none of them on {' or '.join(splits)} faces, and "
            "no run: expected reports of `python -m train evaluate` or folders of `python -m train fit`"
        )
    found = {"protocols": _protocols(shown), "runs": runs, "notes": _notes(len(reports) - len(shown), splits)}
    out.parent.mkdir(parents=True, exist_ok=True)
    metrics.beside(out, "json").write_text(json.dumps(found, indent=1) + "\n")
    metrics.beside(out, "md").write_text(tables.index_page(found, TITLE))
    return found


def _reports(place: Path) -> list[Path]:
    """The file itself, or the reports below a folder, which may hold other JSON as well."""
    if not place.is_dir():
        return [place]
    return [file for file in place.rglob("*.json") if _is_report(file)]


def _is_report(file: Path) -> bool:
    try:
        read_report(file)
    except SourceError:
        return False
    return True


def _run_folders(places: Sequence[Path]) -> list[Path]:
    """Those below `places`, and they themselves, in which a training has finished an epoch."""
    found = {file.parent for place in places if place.is_dir() for file in place.rglob("run.json")}
    return sorted(folder for folder in found if (folder / "history.json").is_file())


def _run(folder: Path) -> dict[str, Any]:
    """What a training says of itself; SourceError if its files are damaged."""
    try:
        recipe = Recipe.from_dict(json.loads((folder / "run.json").read_text())["recipe"])
        history = json.loads((folder / "history.json").read_text())
        best = max(history, key=lambda each: each["validation_accuracy"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{folder}: no run that can be read ({error}): take it out of the folder") from error
    return {
        "name": folder.name,
        "network": recipe.network,
        "heads": list(recipe.heads),
        "epochs": len(history),
        "planned": recipe.epochs,
        "best_epoch": best["epoch"],
        "accuracies": {name.removesuffix("_accuracy"): best[name] for name in best if name.endswith("_accuracy")},
    }


def _protocols(reports: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Only what was measured on the same faces stands in one table."""
    tables: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for each in reports:
        said = each["protocol"]
        tables.setdefault((said["split"], tuple(said["data"]), each["truth"], each["n"]), []).append(each)
    return [
        {"split": split, "data": list(data), "truth": truth, "n": n, "rows": _rows(tables[split, data, truth, n])}
        for split, data, truth, n in sorted(tables)
    ]


def _rows(reports: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The best first; the newer of two reports on one model."""
    by_date = sorted(reports, key=lambda each: str(each["protocol"]["date"]))
    newest = {(each["model"]["name"], each["model"]["kind"]): each for each in by_date}
    return sorted(map(_row, newest.values()), key=lambda row: (-row["accuracy"], row["name"]))


def _row(report: dict[str, Any]) -> dict[str, Any]:
    model = report["model"]
    return {
        "name": model["name"],
        "network": model["network"],
        "parameters": model["parameters"],
        "epochs": model["epochs"],
        "heads": model["heads"],
        "size_bytes": model["size_bytes"],
        "kind": model["kind"],
        "accuracy": report["accuracy"],
        "interval_95": report["interval_95"],
        "balanced_accuracy": report["balanced_accuracy"],
        "macro_f1": report["macro_f1"],
        "surest": report["surest"]["accuracy"],
        "expected_calibration_error": report["expected_calibration_error"],
        "robustness": report["robustness"]["mean"] if "robustness" in report else None,
        "date": report["protocol"]["date"],
    }


def _notes(left_out: int, splits: Sequence[str]) -> list[str]:
    notes = [
        "ECE: expected calibration error. Changed faces: mean accuracy over the kinds of change.",
        "Intervals of 95 % (Wilson). Two models whose intervals overlap may differ by chance only.",
    ]
    return notes + ([f"{left_out} reports on other splits than {', '.join(splits)} are left out."] if left_out else [])
