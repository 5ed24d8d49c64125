"""Serving: the model behind the prediction API, loaded when the first client asks, on a thread of its own."""

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.exceptions import HTTPException

from edge.errors import EmotionEdgeError
from edge.page.allowance import Allowance
from edge.page.instances import VERSION, RequestError, instances_of
from edge.page.news import News

if TYPE_CHECKING:  # numpy, OpenCV and an interpreter: 60 MB that only a prediction needs
    from edge.classifier import Classifier

T = TypeVar("T")

WORK_AT_ONCE, WORK_PER_SECOND = 200, 100
"""How much is predicted, for all clients together: a face is one, and so is a request's every WORK_BYTES."""

WORK_BYTES = 64 * 1024


class Serving:
    """Answers for the model that the daemon uses, by that model's name."""

    def __init__(self, news: News) -> None:
        self._news = news
        self._work = Allowance(WORK_AT_ONCE, WORK_PER_SECOND)
        self._thread = ThreadPoolExecutor(1, "predict")
        self._loaded: tuple[tuple[str, str], Classifier] | None = None

    async def state(self, name: str) -> dict[str, Any]:
        """What TensorFlow Serving says of a model that can be used."""
        status = {"error_code": "OK", "error_message": ""}
        said = {"model_version_status": [{"version": VERSION, "state": "AVAILABLE", "status": status}]}
        return await self._with(name, lambda _: said)

    async def metadata(self, name: str) -> dict[str, Any]:
        """What it takes and gives."""
        return await self._with(name, _metadata)

    async def predict(self, name: str, body: bytes) -> dict[str, Any]:
        """The answer to a request."""
        self._allow(1 + len(body) // WORK_BYTES)
        try:
            instances, by_row = await self._run(instances_of, body)
            self._allow(len(instances))
            return await self._with(name, lambda classifier: _answer(classifier, instances, by_row))
        except RequestError as error:
            raise HTTPException(400, str(error)) from error

    def _allow(self, work: int) -> None:
        if not self._work.take(work):
            seconds = math.ceil(self._work.seconds_until(work))
            raise HTTPException(429, "too much at a time: wait", {"Retry-After": str(seconds)})

    async def _with(self, name: str, question: "Callable[[Classifier], T]") -> T:
        """Ask the classifier called `name`."""
        if not self._news.status:
            raise HTTPException(503, "the daemon has not told yet which model it uses")
        if name != (known := self._news.status["model"]["name"]):
            raise HTTPException(404, f"there is no model of this name: expected {known}")
        which = self._news.model, self._news.status["model"]["sha"]
        try:
            return await self._run(lambda: question(self._classifier(which)))
        except EmotionEdgeError as error:
            raise HTTPException(503, str(error)) from error

    async def _run(self, do: Callable[..., T], *given: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, do, *given)

    def _classifier(self, which: tuple[str, str]) -> "Classifier":
        """The model of this file and hash; loaded anew when the daemon changed to another."""
        if self._loaded is None or self._loaded[0] != which:
            self._loaded = which, _read(Path(which[0]))
        return self._loaded[1]


# Imported when they are called, on the thread that may take its time.


def _read(path: Path) -> "Classifier":
    import edge.page.predict  # noqa: F401  # before OpenCV: it sets its limits
    from edge.classifier import Classifier

    return Classifier.read(path)


def _metadata(classifier: "Classifier") -> dict[str, Any]:
    from edge.page.predict import metadata

    return metadata(classifier)


def _answer(classifier: "Classifier", instances: list[Any], by_row: bool) -> dict[str, Any]:
    from edge.page.predict import answer

    return answer(classifier, instances, by_row)
