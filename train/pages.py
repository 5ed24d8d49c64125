"""Pages of HTML that need nothing beside them: tables, bars, and small pictures within the text; light and dark."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import OutputError

STYLE = """
:root { color-scheme: light dark; --line: #ccc; --bar: #3a6ea5; --faint: #666; }
@media (prefers-color-scheme: dark) { :root { --line: #444; --bar: #79a9d9; --faint: #aaa; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .2rem .8rem .2rem 0; text-align: left; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.bar { display: inline-block; height: .8em; background: var(--bar); min-width: 1px; }
.sheet { display: flex; flex-wrap: wrap; gap: .6rem; }
figure { margin: 0; width: 7rem; font-size: .7rem; line-height: 1.2; color: var(--faint); overflow-wrap: anywhere; }
figure img { width: 100%; display: block; margin-bottom: .2rem; }
"""

BAR_REM = 30.0
"""Width of the longest bar, in the size of the text."""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole document of parts that are HTML already."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "\n".join([f"<h1>{escape(title)}</h1>", *parts])
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n'
    )


def heading(text: str) -> str:
    """The title of a section."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str) -> str:
    """Plain text."""
    return f"<p>{escape(text)}</p>"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows of text and numbers; numbers stand at the right, whole ones with a mark for the thousands."""
    body = "".join(f"<tr>{''.join(_cell(each, 'td') for each in row)}</tr>" for row in rows)
    return f"<table><tr>{''.join(_cell(each, 'th') for each in header)}</tr>{body}</table>"


def bars(counts: Mapping[str, int]) -> str:
    """A bar chart of counts, in their order."""
    most = max([*counts.values(), 1])
    rows = "".join(
        f'<tr><td>{escape(name)}</td>{_cell(count, "td")}<td><span class="bar" '
        f'style="width:{BAR_REM * count / most:.2f}rem"></span></td></tr>'
        for name, count in counts.items()
    )
    return f"<table>{rows}</table>"


def sheet(pictures: Iterable[tuple[NDArray[np.uint8], str]]) -> str:
    """Pictures, (height, width) or (height, width, 1 or 3) RGB uint8, side by side, with a caption each."""
    figures = (
        f'<figure><img src="{data_uri(picture)}" alt="">{escape(caption)}</figure>' for picture, caption in pictures
    )
    return f'<div class="sheet">{"".join(figures)}</div>'


def data_uri(picture: NDArray[np.uint8]) -> str:
    """A picture as text, PNG."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 and picture.shape[2] == 3 else picture
    coded = cv2.imencode(".png", bgr)[1]
    return f"data:image/png;base64,{base64.b64encode(coded.tobytes()).decode()}"


def write(path: Path, text: str) -> None:
    """The page as a file in a folder that is made; OutputError if that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}: choose another --out") from error


def _cell(value: object, tag: str) -> str:
    if isinstance(value, int | float):
        return f'<{tag} class="number">{value:,}</{tag}>'
    return f"<{tag}>{escape(str(value))}</{tag}>"
