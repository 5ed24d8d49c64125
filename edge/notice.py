"""The notice for the wall: what the camera's settings mean to the people in front of it."""

import html
from datetime import date
from pathlib import Path
from string import Template

from edge import config
from edge.errors import OutputError, SettingsError

TEMPLATE = Path(__file__).with_suffix(".html")

A4_INCHES = 8.27, 11.69

TITLE = "This camera reads facial expressions"

CONTACT_LINE = "_" * 40
"""To be filled in by hand, where the settings name nobody."""


def write_notice(settings: config.Settings, path: Path) -> None:
    """One sheet of A4, as .html or .pdf; OutputError if it cannot be written, SettingsError for another kind."""
    kinds = {".html": _write_html, ".pdf": _write_pdf}
    if path.suffix.lower() not in kinds:
        raise SettingsError(f"{path}: expected a name that ends in {' or '.join(kinds)}")
    try:
        kinds[path.suffix.lower()](settings, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot write the notice: {error.strerror}; expected a file to be made") from error


def statements(settings: config.Settings) -> list[str]:
    """What these settings do with people's faces, one sentence or two each."""
    watched = settings.page.address and settings.page.picture
    sent = ", but who may open the device's page can watch the camera live." if watched else " or sent."
    days = f"kept on the device for at most {settings.store.keep_days:g} days"
    kept = days if settings.store.path or settings.mqtt.host else "not kept by the device"
    minutes = settings.track.longest_seconds / 60
    return [
        f"Pictures are looked at in the memory of a small computer and forgotten at once. None is stored{sent}",
        "What is written down are labels such as 'happy' or 'neutral', with the time and the place in the picture. "
        f"They are {kept}.",
        *([f"Labels are sent to the computer {settings.mqtt.host}."] if settings.mqtt.host else []),
        f"Nobody is recognised. A face has a number while it is in view, for at most {minutes:g} minutes.",
        "An expression is not a feeling, and the computer errs. Nobody should be judged by it.",
    ]


def _write_html(settings: config.Settings, path: Path) -> None:
    items = "".join(f"<li>{html.escape(each)}</li>\n" for each in statements(settings))
    contact = html.escape(settings.privacy.contact or CONTACT_LINE)
    page = Template(TEMPLATE.read_text("utf-8"))
    path.write_text(page.substitute(title=TITLE, items=items, contact=contact, date=date.today()), "utf-8")


def _write_pdf(settings: config.Settings, path: Path) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OutputError(
            f'{path}: a PDF needs matplotlib: pip install "emotion-edge[export]", or write .html and print that'
        ) from error
    figure = Figure(figsize=A4_INCHES)
    contact = f"Who answers for this camera: {settings.privacy.contact or CONTACT_LINE}"
    end = f"You may ask what was written down, and object. Put up on {date.today()}."
    lines = [f"\N{BULLET} {each}" for each in statements(settings)]
    figure.text(0.1, 0.88, TITLE, fontsize=25, weight="bold")
    figure.text(0.1, 0.82, _wrapped(lines, 62), fontsize=15, va="top", linespacing=1.5)
    figure.text(0.1, 0.2, _wrapped([contact, end], 80), fontsize=12, va="top", linespacing=1.5)
    figure.savefig(path, metadata={"Title": TITLE})


def _wrapped(paragraphs: list[str], columns: int) -> str:
    from textwrap import fill

    return "\n\n".join(fill(each, columns, subsequent_indent="  ") for each in paragraphs)
