"""Makes docs/page-light.png, page-dark.png and page-phone.png: the page of a daemon that has watched the demo a while.

.venv/bin/python docs/page.py
"""

import io
import tempfile
from pathlib import Path

from PIL import Image

from tests.browser import Tab, browser
from tests.page_feeder import client, daemon_with_page, film, until

WATCHED_SECONDS = 80
"""Long enough for the charts to show something."""

COLOURS = 224
"""Of the pictures: the page needs few, and each must stay below 200 kB."""


def shoot(tab: Tab, url: str, name: str, size: tuple[int, int], scheme: str) -> None:
    """What the page looks like when somebody is there; as high as the page is, but for a phone."""
    phone = name == "phone"
    tab.size(*size, phone=phone)
    tab.colours(scheme)
    tab.open(url)
    tab.wait("document.querySelectorAll('#timeline rect, #events li').length > 40")
    if not phone:
        tab.size(size[0], tab.evaluate("document.documentElement.scrollHeight"))
    tab.wait("document.querySelector('#faces h3') && document.querySelector('#frame img')?.naturalWidth")
    png = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
    png.quantize(COLOURS, dither=Image.Dither.NONE).save(Path(__file__).with_name(f"page-{name}.png"), optimize=True)


with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    demo = film(folder / "demo.avi", 180, 15, 640, 480)
    with daemon_with_page(folder, demo, "--range", "full") as url, browser(folder) as tab:
        until(lambda: len(client().get(url + "api/history").json()["samples"]) > WATCHED_SECONDS, 2 * WATCHED_SECONDS)
        shoot(tab, url, "light", (1280, 900), "light")
        shoot(tab, url, "dark", (1280, 900), "dark")
        shoot(tab, url, "phone", (360, 1300), "light")
