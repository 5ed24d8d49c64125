"""One Parquet file that says which faces of which data sets are used, with which label and in which split."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract import LABELS
from edge.errors import SourceError
from edge.whole import whole
from train import columns, splits
from train.data import FaceSet, joined, labelled, marked_copies, one_vote

FORM = "a manifest of `python -m train import` (Parquet)"
COLUMNS = (
    "data", "key", "sha256", "phash", "name", "label", "votes", "majority", "valence", "arousal",
    "subject", "source", "split", "licence",
)  # fmt: skip
"""One row a face. `data` is the path of its data set and `key` its place there; sha256 and phash are hexadecimal;
label and majority are canonical names; votes are labels with shares; what is not known is null. Where the label counts
as the only vote, votes and majority are null too, so that whoever mends a label needs to mend nothing else."""


def matches(path: Path) -> bool:
    """A Parquet file with these columns."""
    return path.suffix == ".parquet" and set(COLUMNS) <= columns.names(path)


def write(path: Path, sets: Sequence[tuple[Path, FaceSet]]) -> None:
    """The faces of data sets at these paths, each in a split, as one file: all of it or, after a kill, none."""
    from pyarrow import Table, parquet

    rows = [row for data, faces in sets for row in _rows(data, faces)]
    table = Table.from_pydict({name: [row[name] for row in rows] for name in COLUMNS}, schema=_schema())
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as aside:
        parquet.write_table(table, aside)


def read(path: Path, read_set: Callable[[Path], FaceSet]) -> FaceSet:
    """The faces that the manifest lists, pictures from their data sets by `read_set`; all else from the manifest.

    Rows may have been taken out, and labels, votes, ratings, subjects and splits changed. SourceError if a picture is
    not there any more or has changed.
    """
    table = columns.parquet(path, COLUMNS)
    rows_of: dict[str, list[int]] = {}
    for row, data in enumerate(table["data"]):
        rows_of.setdefault(data, []).append(row)
    if not rows_of:
        raise SourceError(f"{path}: no faces in it: expected at least one")
    parts = [_listed(path, read_set(Path(data)), data, table, rows) for data, rows in rows_of.items()]
    in_order = np.argsort(np.concatenate([*rows_of.values()]))
    return marked_copies(joined(parts).where(in_order))


def summary(faces: FaceSet) -> str:
    """Markdown: how many faces of each label each split of each data set has, and what to know before training."""
    shown = np.array([_shown(faces, row) for row in range(len(faces))])
    names = sorted({str(name) for name in shown}, key=_by_label)
    lines = ["| data set | split | " + " | ".join(names) + " | all |", "|---|---" + "|---:" * (len(names) + 1) + "|"]
    for source in np.unique(faces.source):
        for split in splits.SPLITS:
            here = shown[(faces.source == source) & (faces.split == split)]
            counts = [int((here == name).sum()) for name in names]
            if len(here):
                lines.append(f"| {source} | {split} | " + " | ".join(map(str, [*counts, len(here)])) + " |")
    return "\n".join([*lines, "", *_remarks(faces)]) + "\n"


def imbalance(faces: FaceSet) -> float:
    """How many faces the most frequent label has for one of the rarest that there is, training split; nan without."""
    labels = faces.label[(faces.split == "train") & (faces.label >= 0)]
    counts = np.bincount(labels)
    return float(counts.max() / counts[counts > 0].min()) if len(labels) else math.nan


def _remarks(faces: FaceSet) -> list[str]:
    unknown = ", ".join(f"{name!r} {count}" for name, count in faces.unknown().items())
    lines = [
        f"- Training faces of the most frequent label for one of the rarest: {imbalance(faces):.1f}",
        f"- Names that are no label of ours (kept, but nobody learns them): {unknown or 'none'}",
    ]
    for split, labels in splits.absent(faces).items():
        lines.append(f"- **No {', '.join(labels)} in the {split} split**")
    lines += [f"- Identical pictures in training and elsewhere: {int(faces.copied.sum())}"] * bool(faces.copied.any())
    return [*lines, f"- Splits: sha256 `{splits.digest(faces)[:16]}`"]


def _shown(faces: FaceSet, row: int) -> str:
    label = int(faces.label[row])
    return LABELS[label] if label >= 0 else "unknown" if faces.name[row] else "unnamed"


def _by_label(name: str) -> int:
    return LABELS.index(name) if name in LABELS else len(LABELS) + (name == "unnamed")


def _rows(data: Path, faces: FaceSet) -> list[dict[str, Any]]:
    return [_row(str(data.resolve()), faces, row) for row in range(len(faces))]


def _row(data: str, faces: FaceSet, row: int) -> dict[str, Any]:
    texts = {name: str(getattr(faces, name)[row]) for name in ("key", "name", "subject", "source", "split", "licence")}
    return texts | {
        "data": data,
        "sha256": str(faces.sha256[row]),
        "phash": f"{int(faces.phash[row]):016x}",
        "label": _label(faces.label[row]),
        "votes": _votes(faces, row),
        "majority": None if _votes(faces, row) is None else _label(faces.majority[row]),
        "valence": _known(faces.valence[row]),
        "arousal": _known(faces.arousal[row]),
    }


def _votes(faces: FaceSet, row: int) -> list[dict[str, Any]] | None:
    """What people voted; None where the label counts as the only vote."""
    votes, label = faces.votes[row], int(faces.label[row])
    if faces.majority[row] == label and np.array_equal(votes, one_vote(label)):
        return None
    return [{"label": name, "share": float(votes[i])} for i, name in enumerate(LABELS) if votes[i] > 0]


def _label(index: np.int64) -> str | None:
    return LABELS[index] if index >= 0 else None


def _known(value: np.float32) -> float | None:
    return None if np.isnan(value) else float(value)


def _schema() -> Any:
    import pyarrow

    votes = pyarrow.list_(pyarrow.struct({"label": pyarrow.string(), "share": pyarrow.float32()}))
    kinds = {"votes": votes, "valence": pyarrow.float32(), "arousal": pyarrow.float32()}
    return pyarrow.schema({name: kinds.get(name, pyarrow.string()) for name in COLUMNS})


def _listed(path: Path, faces: FaceSet, data: str, table: dict[str, list[Any]], rows: list[int]) -> FaceSet:
    """The faces of one data set that stand in these rows of the manifest, with what the rows say of them."""
    places = {(str(key), str(sha)): row for row, (key, sha) in enumerate(zip(faces.key, faces.sha256, strict=True))}
    wanted = [places.get((table["key"][row], table["sha256"][row]), -1) for row in rows]
    if -1 in wanted:
        key = table["key"][rows[wanted.index(-1)]]
        raise SourceError(
            f"{path}: {wanted.count(-1)} pictures of {data} have changed or are gone, {key!r} the first: "
            "expected them as they were; bring them back or make the manifest again with `python -m train import`"
        )
    told = {name: [values[row] for row in rows] for name, values in table.items()}
    return _as_told(faces.where(np.array(wanted)), told, path)


def _as_told(faces: FaceSet, told: dict[str, list[Any]], path: Path) -> FaceSet:
    strays = sorted(set(told["split"]) - set(splits.SPLITS))
    if strays:
        raise SourceError(f"{path}: splits {strays!r}: expected {', '.join(splits.SPLITS)}")
    texts = {name: np.array(told[name], str) for name in ("name", "subject", "source", "split", "licence")}
    label, majority = _indices(path, "label", told["label"]), _indices(path, "majority", told["majority"])
    voted = np.array([each is not None for each in told["votes"]])
    return replace(
        faces,
        **texts,
        label=label,
        majority=np.where(voted, majority, label),
        votes=np.stack([_shares(each, label[row]) for row, each in enumerate(told["votes"])]),
        valence=_numbers(told["valence"]),
        arousal=_numbers(told["arousal"]),
    )


def _indices(path: Path, column: str, names: list[str | None]) -> NDArray[np.int64]:
    """(n,) index in LABELS, -1 for null; SourceError for any other name, as whoever wrote it meant something."""
    strays = sorted({name for name in names if name is not None and labelled(name) < 0})
    if strays:
        raise SourceError(f"{path}: {column} {strays[0]!r}: expected one of {', '.join(LABELS)}, or null")
    return np.array([-1 if name is None else labelled(name) for name in names], np.int64)


def _shares(votes: list[dict[str, Any]] | None, label: int) -> NDArray[np.float32]:
    """(8,) in the order of LABELS, whatever the file's."""
    if votes is None:
        return one_vote(label)
    share_of = {each["label"]: each["share"] for each in votes}
    return np.array([share_of.get(name, 0.0) for name in LABELS], np.float32)


def _numbers(values: list[float | None]) -> NDArray[np.float32]:
    return np.array([math.nan if each is None else each for each in values], np.float32)
