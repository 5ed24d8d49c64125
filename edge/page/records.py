"""Records: pages of the lasting record of events, read on a thread of their own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from starlette.exceptions import HTTPException

from edge.archive import Archive, Stored
from edge.errors import EmotionEdgeError

T = TypeVar("T")

NONE_KEPT = "no record of events is kept: set path under [store] in the settings"


class Records:
    """Reads the store at `path`; without one ("") every question is answered with 404, in a sentence."""

    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None
        self._thread = ThreadPoolExecutor(1, "records")  # an Archive is for one thread
        self._archive: Archive | None = None

    @property
    def kept(self) -> bool:
        """Whether there is a store."""
        return self._path is not None

    async def after(self, seq: int, limit: int) -> list[Stored]:
        """Up to `limit` records beyond `seq`, the oldest first."""
        return await self._ask(lambda archive: archive.after(seq, limit))

    async def before(self, seq: int | None, limit: int) -> list[Stored]:
        """Up to `limit` records below `seq`, or the last ones, the newest first."""
        return await self._ask(lambda archive: archive.before(seq, limit))

    async def last_seq(self) -> int:
        """The greatest number in the record; 0 for none."""
        return await self._ask(lambda archive: archive.last_seq)

    async def _ask(self, question: Callable[[Archive], T]) -> T:
        if self._path is None:
            raise HTTPException(404, NONE_KEPT)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, self._path, question)
        except EmotionEdgeError as error:
            raise HTTPException(503, str(error)) from error

    def _answer(self, path: Path, question: Callable[[Archive], T]) -> T:
        if self._archive is None:
            self._archive = Archive(path)
        return question(self._archive)
