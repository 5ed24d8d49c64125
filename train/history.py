"""What a training measured after each epoch, for people to look at: a plot, and TensorBoard."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tensorboard.summary import Writer

History = Sequence[dict[str, float]]

PANELS = {"loss": "loss", "accuracy": "accuracy", "ccc": "concordance", "rate": "learning rate"}
"""Figures whose name ends so share a panel of the plot, with this title."""


class Board:
    """The history as TensorBoard reads it. The folder is made anew, so that a resumed run tells each epoch once."""

    def __init__(self, folder: Path, history: History) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._writer = Writer(str(folder))
        for each in history:
            self.tell(each)

    def tell(self, figures: dict[str, float]) -> None:
        """One more epoch."""
        for name, value in figures.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, int(figures["epoch"]))
        self._writer.flush()

    def __enter__(self) -> "Board":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()


def draw(history: History, path: Path) -> None:
    """A PNG with losses, accuracies and learning rate over the epochs."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    panels = {title: _names(history, ending) for ending, title in PANELS.items() if _names(history, ending)}
    figure = Figure(figsize=(4.5 * len(panels), 3.6), layout="constrained")
    for axes, (title, names) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for name in names:
            axes.plot(
                [each["epoch"] for each in history], [each[name] for each in history], label=name.replace("_", " ")
            )
        axes.set(xlabel="epoch", title=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=110)


def _names(history: History, ending: str) -> list[str]:
    return [name for name in history[0] if name.endswith(ending)] if history else []
