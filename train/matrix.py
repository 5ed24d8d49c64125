"""Models against data sets: what each is worth on faces of another origin than it learned from."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge.contract import LABELS
from edge.errors import SettingsError, SourceError
from train import importers, metrics, plots, tables
from train.data import HEADS, FaceSet, Truth
from train.evaluate import chosen
from train.models import Model, opened

ByTruth = Mapping[Truth, Model]
"""A model as it is asked when it shall be judged by each truth: a run has a head for each."""
Column = tuple[Truth, FaceSet]
LabelsOf = Mapping[Truth, Sequence[str]]
"""Those that all models know, by the truth that they are judged by."""


def matrix(paths: Sequence[Path], models: Sequence[Path], out: Path, split: str = "validation") -> dict[str, Any]:
    """Accuracy and macro F1 of each model (runs, `.tflite` files) on each data set, also as `out`.json, .md and .png.

    A data set that has labels besides votes makes two columns, one for each truth; of a run with two heads the one that
    learned the truth of the column answers. All models of a column are judged on the same faces and labels: those that
    all of them know. What a run was trained on, its cell says so instead of a figure.
    SourceError if there are no faces of the split, or none with a label that all models know.
    """
    faces = chosen(importers.read_all(paths), split)
    asked = [{truth: opened(path, truth) for truth in HEADS} for path in models]
    names = _names([each["votes"].name for each in asked])
    labels = {truth: common_labels([each[truth].labels for each in asked]) for truth in HEADS}
    columns = _columns(faces, labels)
    cells = {name: _row(each, columns, labels) for name, each in zip(names, asked, strict=True)}
    found = {
        "split": split,
        "models": names,
        "columns": [
            {"name": name, "truth": truth, "labels": list(labels[truth]), "n": len(each)}
            for name, (truth, each) in columns.items()
        ],
        "cells": cells,
        "notes": _notes({name: each["votes"] for name, each in zip(names, asked, strict=True)}),
    }
    _write(found, out)
    return found


def common_labels(each: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The labels that are in all of these; SettingsError if there are fewer than two."""
    found = tuple(label for label in LABELS if all(label in labels for labels in each))
    if len(found) < 2:
        raise SettingsError(f"models with {len(found)} labels in common: expected two or more")
    return found


def _names(found: Sequence[str]) -> list[str]:
    """Equal names are told apart by a number."""
    before = [found[:place].count(name) for place, name in enumerate(found)]
    return [f"{name} #{times + 1}" if times else name for name, times in zip(found, before, strict=True)]


def _columns(faces: FaceSet, labels: LabelsOf) -> dict[str, Column]:
    """Those faces of each data set that have a right answer among the labels; once where both truths are one."""
    columns: dict[str, Column] = {}
    for source in np.unique(faces.source):
        here = faces.where(faces.source == source)
        places = {truth: metrics.truth_among(labels[truth], here, truth) for truth in HEADS}
        told: list[Truth] = ["votes"] if np.array_equal(here.majority, here.label) else list(HEADS)
        for truth in told:
            name = f"{source} ({truth})" if len(told) > 1 else str(source)
            columns[name] = truth, here.where(places[truth] >= 0)
    found = {name: column for name, column in columns.items() if len(column[1])}
    if not found:
        raise SourceError(f"{len(faces)} faces, none with a label that all models know: {', '.join(labels['votes'])}")
    return found


def _row(model: ByTruth, columns: Mapping[str, Column], labels: LabelsOf) -> dict[str, Any]:
    return {name: _cell(model[truth], faces, truth, labels[truth]) for name, (truth, faces) in columns.items()}


def _cell(model: Model, faces: FaceSet, truth: Truth, labels: Sequence[str]) -> dict[str, Any]:
    if seen := model.trained_on(faces):
        return {"refused": seen}
    scores = metrics.restricted(metrics.probabilities(model.logits(faces.pixels)), model.labels, labels)
    return metrics.summary(scores, metrics.truth_among(labels, faces, truth), labels)


def _notes(models: Mapping[str, Model]) -> list[str]:
    unknown = [name for name, model in models.items() if not model.manifest]
    if not unknown:
        return []
    return [f"Not held against their training faces, for a file has no list of them: {', '.join(unknown)}."]


def _write(found: dict[str, Any], out: Path) -> None:
    title = f"Models and data sets: {found['split']}"
    out.parent.mkdir(parents=True, exist_ok=True)
    picture = metrics.beside(out, "png")
    metrics.beside(out, "json").write_text(json.dumps(found, indent=1) + "\n")
    metrics.beside(out, "md").write_text(tables.matrix_page(found, title, picture.name))
    plots.draw_matrix(found, picture, title)
