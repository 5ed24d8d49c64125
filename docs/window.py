"""Makes docs/window.png, the picture in the README: what `emotion-edge run --range full --window` shows at 11 s.

.venv/bin/python docs/window.py
"""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2

from edge import config
from edge.classifier import SHIPPED, Classifier
from edge.render import draw
from edge.run import perceiver_of
from edge.scene import Scene
from edge.sources.demo import DemoClip

FRAME = 330


def scene_at(number: int) -> Scene:
    """The demo's frame of that number, perceived after all before it."""
    settings = replace(config.Settings(), faces=config.Faces(range="full"))
    perceiver = perceiver_of(settings, Classifier.read(SHIPPED, 1), lambda event: None)
    try:
        *_, scene = (perceiver(frame) for frame in islice(DemoClip(paced=False), number + 1))
    finally:
        perceiver.close()
    return scene


picture = draw(scene_at(FRAME), "")
cv2.imwrite(str(Path(__file__).with_name("window.png")), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
