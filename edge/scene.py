"""What flows through the pipeline: Frame, Face, Found, Reading, Scene. All frozen: threads share them without locks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.contract import GROUP_OF, UNCERTAIN

Point = tuple[float, float]
"""x and y in the frame, pixels."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture from a source.

    pixels       (height, width, 3) uint8, RGB; never written to after it was made
    captured_at  when the picture came to be, seconds of time.monotonic(); latency is counted from here
    moment       when it happened, seconds on the source's own clock: captured_at for a camera, the place in the
                 film for a file, which may be read faster than it plays; tracks and events go by it
    number       counts the source's pictures from 0; a gap is a dropped frame
    took_ms      what reading and decoding it took, milliseconds
    name         the file it came from, where that means something
    read_at      when reading it began, seconds of time.monotonic(), where that was not at captured_at: a film's
                 pictures are read before they are due
    """

    pixels: NDArray[np.uint8]
    captured_at: float
    moment: float
    number: int
    took_ms: float = 0.0
    name: str = ""
    read_at: float | None = None


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in the frame, pixels; right and bottom are exclusive. It may reach outside the frame."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def middle(self) -> Point:
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    @property
    def area(self) -> float:
        """Square pixels; 0 for a box turned inside out."""
        return max(0.0, self.width) * max(0.0, self.height)

    def iou(self, other: "Box") -> float:
        """Intersection over union, 0 (apart) to 1 (the same)."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        shared = max(0.0, width) * max(0.0, height)
        return shared / (self.area + other.area - shared) if shared else 0.0  # a tiny box's area rounds to nothing


SURE = 0.85
"""Such a detector score is that of a face: in 3,300 frames without one none was above 0.78, docs/performance.md."""


@dataclass(frozen=True, slots=True)
class Face:
    """A person's face as the detector found it: score 0 to 1 and key points; right and left are the person's own."""

    box: Box
    score: float
    right_eye: Point
    left_eye: Point
    nose: Point
    mouth: Point
    right_ear: Point
    left_ear: Point

    @property
    def is_sure(self) -> bool:
        """Whether the detector leaves no doubt that it is one."""
        return self.score >= SURE

    def shifted(self, right: float, down: float) -> "Face":
        """The same face that many pixels to the right and down."""
        edges = self.box
        box = Box(edges.left + right, edges.top + down, edges.right + right, edges.bottom + down)
        return Face(box, self.score, *((x + right, y + down) for x, y in self.points))

    def scaled(self, by: float) -> "Face":
        """The same face in a picture so many times as large."""
        edges = self.box
        box = Box(edges.left * by, edges.top * by, edges.right * by, edges.bottom * by)
        return Face(box, self.score, *((x * by, y * by) for x, y in self.points))

    @property
    def points(self) -> tuple[Point, ...]:
        """The six key points, in the order of the fields."""
        return self.right_eye, self.left_eye, self.nose, self.mouth, self.right_ear, self.left_ear


@dataclass(frozen=True, slots=True)
class Found:
    """A frame and the faces that a detector saw in it.

    faces     none: it was not searched, the faces of the search before are followed
    took_ms   what searching cost, milliseconds
    began_at  when it began, seconds of time.monotonic()
    turn      counts the searches of a run from 1
    """

    frame: Frame
    faces: tuple[Face, ...] | None
    took_ms: float = 0.0
    began_at: float = 0.0
    turn: int = 1


@dataclass(frozen=True, slots=True)
class Reading:
    """What we think of one face in one frame.

    track       number of the same face over time, from 1; never reused in a run
    label       a canonical emotion name, or "uncertain"
    confidence  calibrated probability of the likeliest label, 0 to 1
    scores      probability of each label of the model, summing to 1; empty when the face was not read
    reason      why the label is "uncertain": "small", "blurred", "turned" or "unsure"; else empty
    """

    track: int
    face: Face
    label: str
    confidence: float
    scores: Mapping[str, float]
    reason: str = ""

    @property
    def group(self) -> str:
        """positive, neutral, negative, or uncertain."""
        return GROUP_OF.get(self.label, UNCERTAIN)


@dataclass(frozen=True, slots=True)
class Scene:
    """A frame and what was found in it.

    took_ms     what each step cost, milliseconds, in their order: "detect", then the others one after the other
    began_at    when detecting began, seconds of time.monotonic()
    resumed_at  when the others began, on the next thread; 0 where there were none
    found       faces that the detector saw; those in `readings` were confirmed to be some
    """

    frame: Frame
    readings: tuple[Reading, ...]
    took_ms: Mapping[str, float] = field(default_factory=dict)
    began_at: float = 0.0
    resumed_at: float = 0.0
    found: int = 0
