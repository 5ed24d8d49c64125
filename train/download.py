"""Data sets that live on Kaggle, fetched by `kagglehub` with the user's own key."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edge.errors import SettingsError, SourceError
from train.columns import one_line


@dataclass(frozen=True)
class Place:
    """Where a data set lives on Kaggle: `handle` is owner/name of a data set, or the name of a competition."""

    kind: Literal["dataset", "competition"]
    handle: str

    @property
    def page(self) -> str:
        """For people: where its terms stand, and are agreed to."""
        return f"https://www.kaggle.com/{self.kind}s/{self.handle}"


PLACES = {
    "fer2013-folders": Place("dataset", "msambare/fer2013"),
    "icml_face_data": Place(
        "competition", "challenges-in-representation-learning-facial-expression-recognition-challenge"
    ),
    "ck48": Place("dataset", "shawon10/ckplus"),
    "nine-classes": Place("competition", "skillbox-computer-vision-project"),
}
"""CK+ itself, RAF-DB and AffectNet are had from their authors; muxspace is a repository."""

KEY = (
    "make a token at https://www.kaggle.com/settings and put kaggle.json in ~/.kaggle, "
    "or set KAGGLE_USERNAME and KAGGLE_KEY"
)


def download(name: str, folder: Path) -> Path:
    """Fetch a data set of PLACES into a new folder, and say where it lies for `train import`.

    SettingsError for an unknown name or a folder that has something in it; SourceError without key, consent, network
    or `kagglehub`.
    """
    if name not in PLACES:
        raise SettingsError(f"data set {name!r}: expected one of {', '.join(PLACES)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingsError(f"{folder}: not empty: expected a new folder for the data set")
    place = PLACES[name]
    fetch, refusals = _kagglehub(place.kind)
    try:
        return Path(fetch(place.handle, output_dir=str(folder)))
    except refusals as error:
        raise SourceError(
            f"{place.page}: not fetched ({type(error).__name__}: {one_line(error)}): expected a network, a Kaggle key "
            f"and your consent to the terms on that page; {KEY}"
        ) from error


def _kagglehub(kind: str) -> tuple[Callable[..., str], tuple[type[BaseException], ...]]:
    """The function that fetches, and what it raises for what a user can mend."""
    try:
        kagglehub, exceptions = (importlib.import_module(name) for name in ("kagglehub", "kagglehub.exceptions"))
    except ImportError as error:
        raise SourceError(f"no kagglehub here ({error}): expected it; pip install kagglehub") from error
    own: list[Any] = [each for each in vars(exceptions).values() if isinstance(each, type)]
    refusals = [each for each in own if issubclass(each, Exception)]
    fetch = kagglehub.dataset_download if kind == "dataset" else kagglehub.competition_download
    return fetch, (OSError, ValueError, *refusals)  # OSError: requests' errors are such
