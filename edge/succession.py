"""Succession: one model after another, each tested before it is trusted, and the way back to the one before.

Beside a model file that the user replaces lie copies of what was accepted: FILE.accepted, the one in use, and
FILE.before, the one before that. Models that ship need none: they change only with the program.
"""

import logging
import os
from pathlib import Path

from edge import config
from edge.classifier import Classifier, model_file, open_classifier, shipped
from edge.contract import read_model_file
from edge.errors import ModelError, OutputError
from edge.selftest import passed
from edge.whole import whole

log = logging.getLogger("emotion_edge")


def successor(settings: config.Settings) -> Classifier:
    """The model that the settings ask for, tested on the portrait that ships, and remembered.

    ModelError for one that cannot be trusted.
    """
    classifier = open_classifier(settings.model)
    passed(classifier, settings)
    _remember(settings.model, classifier)
    return classifier


def first(settings: config.Settings) -> Classifier:
    """As `successor`, at the start: for a file that went bad, the model that was accepted last, if there is one."""
    try:
        return successor(settings)
    except ModelError as error:
        accepted = _accepted(model_file(settings.model.file))
        if settings.model.file in shipped() or not accepted.is_file():
            raise
        log.error("%s", error)
        log.error("model=%s is not used: going on with the one accepted before, %s", settings.model.file, accepted)
        return Classifier.read(accepted, settings.model.threads or 1)


def roll_back(path: Path) -> None:
    """Put the model before the present one into the file at `path`; a second call, once that was accepted, undoes it.

    ModelError if there is nothing to go back to, OutputError if it cannot be written.
    """
    before = _before(path)
    if not before.is_file():
        raise ModelError(f"{before}: there is no model before the present one")
    try:
        _replace(path, read_model_file(before))
    except OSError as error:
        raise OutputError(f"{path}: cannot put the model back: {error.strerror}") from error


def _remember(settings: config.Model, classifier: Classifier) -> None:
    """Keep a copy of a model that was accepted, and of the one accepted before it."""
    if settings.file in shipped():
        return
    path = model_file(settings.file)
    accepted = _accepted(path)
    try:
        if accepted.is_file():
            if accepted.read_bytes() == classifier.content:
                return
            os.replace(accepted, _before(path))
        _replace(accepted, classifier.content)
    except OSError as error:
        log.warning("no way back will be kept: model=%s error=%r", path, error.strerror)


def _accepted(path: Path) -> Path:
    return path.with_name(path.name + ".accepted")


def _before(path: Path) -> Path:
    return path.with_name(path.name + ".before")


def _replace(path: Path, content: bytes) -> None:
    with whole(path) as aside:
        aside.write_bytes(content)
