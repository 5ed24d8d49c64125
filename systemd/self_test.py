"""Does the program run on this computer, with these settings? Run by its own Python: self_test.py SETTINGS.toml

Code 0, or a last line on standard error that says why not. No camera is opened, nothing is written.
"""

import re
import sys
from importlib import metadata
from pathlib import Path

from edge import config, selftest
from edge.classifier import open_classifier
from edge.errors import EmotionEdgeError
from edge.run import run  # noqa: F401  # with all that the service imports


def missing_packages() -> list[str]:
    """What the program says it needs, and is not installed."""
    needed = [text for text in metadata.requires("emotion-edge") or [] if "extra ==" not in text]
    names = [re.split(r"[^\w.-]", text)[0] for text in needed]
    present = {re.sub(r"[-_.]+", "-", each.name).lower() for each in metadata.distributions()}
    return [name for name in names if name.lower() not in present]


def check(settings_file: Path) -> None:
    """EmotionEdgeError if settings or model are no good here."""
    settings = config.read(settings_file) if settings_file.exists() else config.Settings()
    selftest.passed(open_classifier(settings.model), settings)


if __name__ == "__main__":
    if missing := missing_packages():
        sys.exit(f"{', '.join(missing)} is missing from the package")
    try:
        check(Path(sys.argv[1]))
    except EmotionEdgeError as error:
        sys.exit(str(error))
