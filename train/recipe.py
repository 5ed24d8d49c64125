"""Every number that a trained network depends on."""

import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, Literal

from edge.contract import InputSpec
from edge.errors import ModelError, SettingsError
from train import networks
from train.augment import Augment
from train.data import Truth

ALL_LAYERS = -1

KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
"""The types that a setting can have, for people."""


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise SettingsError(f"recipe setting {name} = {value!r}: expected {low} to {high}")


@dataclass(frozen=True)
class Balance:
    """What is done about rare labels; nothing is deleted for it. Rare and frequent are counted in the first head's
    most voted label; a face without one counts as neither.

    cap        at most so many faces of one label and source in an epoch, another draw each epoch; 0 for all
    capped     the sources that the cap is for; none named: all of them
    power      faces are drawn by frequency ** -power, counted after the cap: 0 as they are, 0.5 by the square root,
               1 all labels alike
    class_weights  loss times (mean frequency / frequency) ** this power: 0 for none
    focal      gamma of the focal loss (Lin et al. 2017, arXiv 1708.02002); 0 for plain cross-entropy
    """

    cap: int = 0
    capped: tuple[str, ...] = ()
    power: float = 0.0
    class_weights: float = 0.0
    focal: float = 0.0

    def __post_init__(self) -> None:
        _within("balance.cap", self.cap, 0, 10_000_000)
        _within("balance.power", self.power, 0, 2)
        _within("balance.class_weights", self.class_weights, 0, 2)
        _within("balance.focal", self.focal, 0, 10)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; saved beside it. SettingsError for a value outside its range."""

    network: str = "residual"
    """One of `train.networks.NETWORKS`."""
    input: InputSpec = field(default_factory=InputSpec)
    heads: tuple[Truth, ...] = ("votes", "label")
    """What is learned, at once by one network; see `train.data.HEADS`."""
    augment: Augment = field(default_factory=Augment)
    balance: Balance = field(default_factory=Balance)
    epochs: int = 50
    warmup_epochs: int = 2
    batch: int = 128
    optimizer: Literal["adamw", "sgd"] = "adamw"
    peak_rate: float = 2e-3
    weight_decay: float = 5e-2
    """Decoupled (AdamW, arXiv 1711.05101), times the learning rate."""
    clip_norm: float = 0.0
    """Longest gradient over all weights (arXiv 1211.5063); 0 for any."""
    dropout: float = 0.3
    label_smoothing: float = 0.0
    mixup: float = 0.0
    """Alpha of mixup's beta distribution (arXiv 1710.09412); 0 for none. Not in the last fifth of the epochs."""
    cutmix: float = 0.0
    """The same for CutMix (arXiv 1905.04899); with both, each batch has one of them."""
    average: float = 0.998
    """Each step's share that the averaged weights keep (EMA); the averaged network is judged. 0: none."""
    teacher_share: float = 0.7
    """With teachers: so much of the target is their answer, the rest the truth (arXiv 1503.02531)."""
    weights: str = ""
    """What a pretrained network begins with: "imagenet", or the path of a file; "" for new weights."""
    unfreeze: tuple[str, ...] = ()
    """EPOCH:LAYERS, e.g. 1:0,4:30,8:all: from that epoch on (the first is 1) the body's last so many layers with
    weights are trained. The heads always are. None named: everything from the start."""
    valence: Literal["none", "labels", "derived"] = "none"
    """A head for valence and arousal: from the data sets' own labels, or derived from the votes by class means."""
    valence_share: float = 0.5
    """How much its loss counts beside the other heads' (1 each)."""
    patience: int = 0
    """Stop after so many epochs without a better validation accuracy; 0 for never."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    seed: int = 20261121

    def __post_init__(self) -> None:
        networks.named(self.network).refuse(self.network, self.weights, self.input)
        if not self.heads or len(set(self.heads)) != len(self.heads):
            raise SettingsError(f"recipe setting heads = {self.heads!r}: expected one or more, each once")
        for name, (low, high) in RANGES.items():
            _within(name, getattr(self, name), low, high)
        stages(self)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(given: Mapping[str, Any]) -> "Recipe":
        """The recipe in the JSON of a run; what it does not name is as by default.

        SettingsError for a name that there is not, or a value of another kind.
        """
        recipe: Recipe = _table(Recipe, given, "")
        return recipe


def told(recipe: Recipe) -> list[str]:
    """What differs from the default recipe, as `changed` reads it: NAME=VALUE."""
    return _told(recipe.as_dict(), Recipe().as_dict(), "")


def _told(table: Mapping[str, Any], defaults: Mapping[str, Any], place: str) -> list[str]:
    words = []
    for name, value in table.items():
        if isinstance(value, Mapping):
            words += _told(value, defaults[name], f"{place}{name}.")
        elif value != defaults[name]:
            text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            words.append(f"{place}{name}={text}")
    return words


RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 100_000),
    "warmup_epochs": (0, 100_000),
    "batch": (1, 65_536),
    "peak_rate": (0, 10),
    "weight_decay": (0, 10),
    "clip_norm": (0, 1e6),
    "dropout": (0, 0.95),
    "label_smoothing": (0, 0.9),
    "mixup": (0, 100),
    "cutmix": (0, 100),
    "average": (0, 0.999999),
    "teacher_share": (0, 1),
    "valence_share": (0, 100),
    "patience": (0, 100_000),
    "seed": (0, 2**32 - 1),
}
"""What a recipe's numbers may be, both ends included."""


def stages(recipe: Recipe) -> list[tuple[int, int]]:
    """`unfreeze` as (first epoch, trained layers), in order; ALL_LAYERS for all. SettingsError for another form."""
    found = []
    for text in recipe.unfreeze:
        epoch, _, count = text.partition(":")
        if not (epoch.isdecimal() and (count.isdecimal() or count == "all")):
            raise SettingsError(f"recipe setting unfreeze = {text!r}: expected EPOCH:LAYERS or EPOCH:all, as in 4:30")
        found.append((int(epoch), ALL_LAYERS if count == "all" else int(count)))
    epochs = [epoch for epoch, _ in found]
    if epochs and (epochs[0] != 1 or epochs != sorted(set(epochs))):
        raise SettingsError(f"recipe setting unfreeze: epochs {epochs}: expected to begin with 1 and to rise")
    return found


def trained_layers(recipe: Recipe, epoch: int) -> int:
    """How many of the body's last layers with weights are trained in an epoch (from 0); ALL_LAYERS for all."""
    begun = [count for first, count in stages(recipe) if first <= epoch + 1]
    return begun[-1] if begun else ALL_LAYERS


def changed(recipe: Recipe, settings: Mapping[str, str]) -> Recipe:
    """The recipe with `name=value` settings, dotted for what lies deeper: `augment.flip_share=0`.

    Another network brings the side of the input that suits it, unless `input.side` is set too.
    SettingsError for an unknown name or a value that does not fit.
    """
    table = recipe.as_dict()
    if "network" in settings:
        table["input"]["side"] = networks.named(settings["network"]).side
    for name, text in settings.items():
        _set(table, name, text)
    return Recipe.from_dict(table)


def _set(table: dict[str, Any], name: str, text: str) -> None:
    *path, last = name.split(".")
    kind: Any = Recipe
    for each in path:
        kind, table = _kind(kind, each, name), table[each]
    kind = _kind(kind, last, name)
    if is_dataclass(kind):
        raise SettingsError(
            f"recipe setting {name!r}: expected one of its own, as in {name}.{fields(kind)[0].name}=VALUE"
        )
    table[last] = _parsed(kind, text, name)


def _kind(table: Any, name: str, place: str) -> Any:
    """The type of a field; SettingsError, with the nearest name, if there is no such field."""
    known = typing.get_type_hints(table) if is_dataclass(table) else {}
    if name not in known:
        guess = get_close_matches(name, known, 1)
        hint = f"; did you mean {guess[0]!r}?" if guess else ":"
        there = f"expected one of {', '.join(sorted(known))}" if known else "expected no dot, for it has no parts"
        raise SettingsError(f"recipe setting {place!r}{hint} {there}")
    return known[name]


def _parsed(kind: Any, text: str, name: str) -> Any:
    """A value from the words of a command line."""
    if typing.get_origin(kind) is tuple:
        each = typing.get_args(kind)[0]
        return tuple(_parsed(each, part.strip(), name) for part in text.split(",") if part.strip())
    if typing.get_origin(kind) is Literal:
        return _read(kind, {str(each): each for each in typing.get_args(kind)}.get(text, text), name)
    if kind is bool:
        return _read(kind, {"true": True, "false": False}.get(text.lower(), text), name)
    try:
        return kind(text)
    except ValueError as error:
        raise _unfit(name, text, KINDS[kind]) from error


def _read(kind: Any, value: Any, name: str) -> Any:
    """A value from JSON as a field's type: a list for a tuple, a whole number for a float."""
    if is_dataclass(kind) and isinstance(value, Mapping):
        return _table(kind, value, name)
    if typing.get_origin(kind) is tuple and isinstance(value, list | tuple):
        return tuple(_read(typing.get_args(kind)[0], each, name) for each in value)
    if typing.get_origin(kind) is Literal and any(
        value == each and type(value) is type(each) for each in typing.get_args(kind)
    ):
        return value
    if kind is float and type(value) is int:
        return float(value)
    if isinstance(kind, type) and type(value) is kind:
        return value
    raise _unfit(name, value, _expected(kind))


def _table(kind: Any, given: Mapping[str, Any], name: str) -> Any:
    inner = {each: f"{name}.{each}" if name else each for each in given}
    values = {each: _read(_kind(kind, each, inner[each]), value, inner[each]) for each, value in given.items()}
    try:
        return kind(**values)
    except ModelError as error:  # of InputSpec
        raise SettingsError(f"recipe setting {name}: {error}") from error


def _expected(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, typing.get_args(kind)))
    return KINDS.get(kind, "a list" if typing.get_origin(kind) is tuple else "a table")


def _unfit(name: str, value: Any, expected: str) -> SettingsError:
    return SettingsError(f"recipe setting {name} = {value!r}: expected {expected}")
