"""Seen: what came of each frame of a film after the warm-up, when, and how old it was then."""

import time
from dataclasses import dataclass, field

from benchmarks.bound import WARM_UP_FRAMES, refuse_too_few
from benchmarks.sample import durations
from edge.errors import EmotionEdgeError
from edge.scene import Box, Frame


@dataclass
class Seen:
    """Frames in the order in which somebody was done with them."""

    numbers: list[int] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    ages_ms: list[float] = field(default_factory=list)
    boxes: list[tuple[int, list[Box]]] = field(default_factory=list)
    cpu_began_seconds: float = 0.0

    def add(self, frame: Frame, boxes: list[Box], now: float) -> bool:
        """Take in a frame with which all was done at a time.monotonic(), seconds; false in the warm-up, which counts
        nothing. EmotionEdgeError for a frame that came before."""
        if frame.number < WARM_UP_FRAMES:
            return False
        if not self.numbers:
            self.cpu_began_seconds = time.process_time()
        elif frame.number <= self.numbers[-1]:
            raise EmotionEdgeError(f"frame {frame.number} after {self.numbers[-1]}: a fault of ours")
        self.numbers.append(frame.number)
        self.at.append(now)
        self.ages_ms.append((now - frame.captured_at) * 1000)
        self.boxes.append((frame.number, boxes))
        return True

    def figures(self) -> dict[str, float]:
        """Distinct frames a second, ages and cost."""
        refuse_too_few(len(self.numbers))
        cpu_seconds = time.process_time() - self.cpu_began_seconds
        return {
            "fps": (len(self.numbers) - 1) / (self.at[-1] - self.at[0]),
            **durations("age", self.ages_ms),
            "cpu_ms_a_frame": cpu_seconds * 1000 / len(self.numbers),
            "faces": sum(len(boxes) for _, boxes in self.boxes) / len(self.boxes),
        }
