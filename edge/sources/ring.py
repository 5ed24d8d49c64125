"""Ring: room for pictures in memory that two processes share."""

import math
import mmap
import os

import numpy as np
from numpy.typing import NDArray

BUFFERS = 4
"""One is filled, one is copied out, and two are for a reader that comes late, by 66 ms at 30 FPS."""

Shape = tuple[int, ...]
"""Of a picture: height and width in pixels, and 3."""


class Ring:
    """BUFFERS pictures of one shape, RGB uint8, numbered from 0.

    The memory has no name in any file system and is gone with the last process that has it, however that ends.
    """

    def __init__(self, descriptor: int, shape: Shape, protection: int = mmap.PROT_READ) -> None:
        """The ring that another process made; `descriptor` may be closed afterwards."""
        self.shape = shape
        self._memory = mmap.mmap(descriptor, BUFFERS * math.prod(shape), prot=protection)

    @classmethod
    def make(cls, shape: Shape) -> "tuple[Ring, int]":
        """A new ring, and the descriptor to hand to the other process, which the caller closes."""
        descriptor = os.memfd_create("emotion-edge-pictures")
        os.truncate(descriptor, BUFFERS * math.prod(shape))
        return cls(descriptor, shape, mmap.PROT_READ | mmap.PROT_WRITE), descriptor

    def buffer(self, index: int) -> NDArray[np.uint8]:
        """One of the pictures, in place; let it go before the ring is closed."""
        size = math.prod(self.shape)
        return np.frombuffer(self._memory, np.uint8, size, index * size).reshape(self.shape)

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()
