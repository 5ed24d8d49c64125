"""Allowance: how much somebody may do in a stretch of time."""

import time
from collections.abc import Callable


class Allowance:
    """So much at once, and so much more each second: a token bucket."""

    def __init__(self, at_once: float, per_second: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic` gives seconds."""
        self._at_once, self._per_second, self._monotonic = at_once, per_second, monotonic
        self._left, self._counted_at = at_once, monotonic()

    @property
    def left(self) -> float:
        """What may be taken now."""
        now = self._monotonic()
        self._left = min(self._at_once, self._left + (now - self._counted_at) * self._per_second)
        self._counted_at = now
        return self._left

    def take(self, amount: float = 1.0) -> bool:
        """Whether there was as much; if not, nothing is taken."""
        if self.left < amount:
            return False
        self._left -= amount
        return True

    def seconds_until(self, amount: float = 1.0) -> float:
        """How long until there is as much; 0 if it is there."""
        return max(0.0, (amount - self.left) / self._per_second)
