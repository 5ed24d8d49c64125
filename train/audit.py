"""What is wrong with a data set, before anything is trained on it: a page to look at, a file to leave faces out by."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge.contract import LABELS
from edge.errors import OutputError
from train import findings, importers, pages
from train.checks import checked
from train.data import FaceSet, manifest_sha256
from train.findings import Finding, excluded
from train.suspects import suspected

__all__ = ["audit", "excluded"]

CSV, PAGE, SUMMARY = "audit.csv", "audit.html", "audit.json"

SHOWN = 40
"""So many pictures of each kind stand on the page; all are in the file."""

SPLITS = ("train", "validation", "test")

MEANING = {
    "blank": "One grey level all over.",
    "flat": "Hardly any contrast.",
    "too dark": "Even the lightest parts are dark.",
    "too bright": "Even the darkest parts are bright.",
    "blurred": "Hardly any fine detail.",
    "no face": "The device's detector finds none. Profiles, hands before a face and drawings are among these: look.",
    "several faces": "There is another face beside the largest.",
    "exact copy, same split": "The picture stands in the data more than once.",
    "exact copy, across splits": "The same picture in two splits: what is measured on it is too good.",
    "near copy, same split": "Almost the same picture stands in the data more than once.",
    "near copy, across splits": "Almost the same picture in two splits: what is measured on it is too good.",
    "copies with different labels": "One picture, several labels.",
    "votes disagree": "Most voters agree on another label, and nobody's vote for the given one counts.",
    "suspected label": "Answers that did not learn from the face speak against its label. A candidate, not a verdict.",
}
"""The kinds of findings in the order of the page."""


def audit(paths: Sequence[Path], out: Path, run: Path | None = None) -> dict[str, Any]:
    """Write audit.csv, audit.html and audit.json for these data sets to the folder `out`; the content of the last.

    `run` is a run of `train fit` whose network judges the labels of faces that it did not learn from. Nothing is
    deleted or changed; the pictures on the page are people: keep it where the data is. An audit of the same faces that
    is there already is left as it is, since its CSV may have been edited; OutputError for one of other faces.
    """
    faces = importers.read_all(paths)
    digest = manifest_sha256(faces.sha256)
    if done := _done(out, digest):
        return done
    found = [*checked(faces), *suspected(faces, run)]
    found.sort(key=lambda each: (list(MEANING).index(each.kind), -each.weight, each.row))
    summary = {"manifest_sha256": digest, "run": run.name if run else None, **_figures(faces, found)}
    pages.write(out / PAGE, _page(faces, found, summary))
    findings.write(found, faces, out / CSV)
    (out / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return summary


def _done(out: Path, digest: str) -> dict[str, Any] | None:
    """The summary of a finished audit of the same faces."""
    if not (out / SUMMARY).is_file():
        return None
    try:
        summary: dict[str, Any] = json.loads((out / SUMMARY).read_text(encoding="utf-8"))
        same = summary["manifest_sha256"] == digest
    except (ValueError, KeyError, TypeError):
        same = False
    if not (same and (out / CSV).is_file()):
        raise OutputError(f"{out}: holds the audit of other data: nothing is overwritten; choose a new --out folder")
    return summary


def _figures(faces: FaceSet, found: Sequence[Finding]) -> dict[str, Any]:
    kinds = Counter(each.kind for each in found)
    out = {str(faces.sha256[each.row]) for each in found if each.exclude}
    undetected, several = kinds["no face"], kinds["several faces"]
    return {
        "faces": len(faces),
        "exclude": int((np.isin(faces.sha256, list(out)) & (faces.split == "train")).sum()),
        "exactly_one_face_found": round(1 - (undetected + several) / len(faces), 5),
        "findings": {kind: kinds[kind] for kind in MEANING if kinds[kind]},
        "labels": {split: _counts(faces, split) for split in SPLITS},
        "unknown_labels": faces.unknown(),
    }


def _counts(faces: FaceSet, split: str) -> dict[str, int]:
    here = faces.label[faces.split == split]
    return {label: int((here == index).sum()) for index, label in enumerate(LABELS)}


def _page(faces: FaceSet, found: Sequence[Finding], summary: dict[str, Any]) -> str:
    parts = [*_overview(faces, summary), *_balance(faces, summary)]
    for kind in MEANING:
        if of_kind := [each for each in found if each.kind == kind]:
            parts += _kind(faces, kind, of_kind)
    return pages.page("Audit of " + ", ".join(np.unique(faces.source).tolist()), parts)


def _overview(faces: FaceSet, summary: dict[str, Any]) -> Iterator[str]:
    share, out = summary["exactly_one_face_found"], summary["exclude"]
    yield pages.paragraph(
        f"{len(faces):,} faces; the device's detector finds exactly one face in {share:.1%} of the pictures, enlarged "
        f"and framed. {out:,} training faces are suggested to be left out: exclude is 1 in {CSV}, which you may edit. "
        "No file was changed or deleted."
    )
    sources = np.unique(faces.source)
    rows = [
        (name, *(int(((faces.source == name) & (faces.split == split)).sum()) for split in SPLITS)) for name in sources
    ]
    yield pages.table(("data set", *SPLITS), rows)
    yield pages.table(("finding", "faces"), summary["findings"].items())
    if summary["unknown_labels"]:
        yield pages.heading("Labels that are none of ours")
        yield pages.table(("label", "faces"), summary["unknown_labels"].items())


def _balance(faces: FaceSet, summary: dict[str, Any]) -> Iterator[str]:
    training = summary["labels"]["train"]
    present = {label: count for label, count in training.items() if count}
    yield pages.heading("Balance of the training labels")
    if present:
        most, least = max(present, key=lambda each: present[each]), min(present, key=lambda each: present[each])
        ratio = present[most] / present[least]
        yield pages.paragraph(f"{ratio:.0f} times as many faces are {most} as {least}.")
    yield pages.bars(training)
    absent = [label for label in training if not training[label]]
    if absent:
        yield pages.paragraph(f"Without a training face: {', '.join(absent)}.")


def _kind(faces: FaceSet, kind: str, found: Sequence[Finding]) -> Iterator[str]:
    shown = found[:SHOWN]
    excluded_here = sum(each.exclude for each in found)
    yield pages.heading(f"{kind}: {len(found):,}")
    yield pages.paragraph(f"{MEANING[kind]} {excluded_here:,} suggested to be left out; {len(shown)} shown.")
    yield pages.sheet((faces.pixels[each.row], _caption(faces, each)) for each in shown)


def _caption(faces: FaceSet, each: Finding) -> str:
    place = f"{faces.source[each.row]}/{faces.key[each.row]} ({faces.split[each.row]})"
    return f"{'left out: ' if each.exclude else ''}{place}: {each.detail}"
