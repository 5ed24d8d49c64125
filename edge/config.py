"""Settings: one frozen dataclass for each table of edge.toml, and the reader that refuses what it does not know."""

import socket
import tomllib
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar

from edge.errors import SettingsError

T = TypeVar("T")

WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path, as text",
    tuple: "a list of texts",
}
"""The types that a setting can have, for people."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names of this machine: what goes there does not leave it."""


def _within(table: str, name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        raise SettingsError(f"[{table}] {name} = {value!r}: expected {low} to {high}")


@dataclass(frozen=True, slots=True)
class Camera:
    source: str = "demo"
    """"demo", a camera ("0" or "/dev/video0"; "picamera" for a Raspberry Pi camera), a video file, or a folder of
    pictures."""
    width: int = 640
    """What the camera is asked for, pixels; it may deliver something else, which the log says."""
    height: int = 480
    fps: float = 30.0
    """Frames a second asked of a camera, and the pace of the demo."""
    format: Literal["", "YUYV", "MJPG"] = ""
    """How a V4L2 camera sends its pictures; empty is the quickest that has the rate at this size: YUYV, which need not
    be decoded, or MJPG, which takes less of the cable."""
    upside_down: bool = False
    """The camera hangs upside down: its picture is turned."""
    focus_metres: float = 0.0
    """A Raspberry Pi camera that can focus is kept at this distance; 0 has it focus by itself."""
    pace: bool = True
    """Play a file in its own time, as a camera would; false reads every frame, as fast as it goes."""
    repeat: bool = False
    """Begin a file or the demo again when it ends."""
    frozen_seconds: float = 1.0
    """A camera that repeats one picture for so long is opened anew: a sensor's noise makes no two alike. 0 is never,
    for one that shows stills."""
    give_up_after: int = 20
    """After so many tries to open a lost camera without a picture, about 7 minutes, the program ends; 0 is never."""

    def __post_init__(self) -> None:
        _within("camera", "width", self.width, 64, 7680)
        _within("camera", "height", self.height, 64, 4320)
        _within("camera", "fps", self.fps, 0.1, 1000)
        _within("camera", "focus_metres", self.focus_metres, 0, 1000)
        _within("camera", "frozen_seconds", self.frozen_seconds, 0, 60)
        _within("camera", "give_up_after", self.give_up_after, 0, 1_000_000)


@dataclass(frozen=True, slots=True)
class Faces:
    backend: Literal["litert", "mediapipe"] = "litert"
    """Who runs BlazeFace: our own decoding on LiteRT, or the MediaPipe Tasks API (extra `mediapipe`)."""
    range: Literal["auto", "short", "full"] = "auto"
    """"short" for faces within about 2 m, "full" for a room, at three times the cost; "auto" is short, and looks again,
    magnified, for the small faces that it misses."""
    min_score: float = 0.5
    """A face below this detector score, 0 to 1, is no face."""
    max_faces: int = 10
    """The largest this many are read."""

    def __post_init__(self) -> None:
        _within("faces", "min_score", self.min_score, 0.05, 0.99)
        _within("faces", "max_faces", self.max_faces, 1, 100)


@dataclass(frozen=True, slots=True)
class Model:
    file: str = "emotion-8"
    """The emotion model: the name of one that ships (see `emotion-edge models`), or the path of a .tflite file."""
    threads: int = 1
    """Threads of one interpreter, of which networks this small want one; 0 is the number that is fastest here, measured
    for five seconds at the first start and kept."""
    abstain: float | None = None
    """Below this confidence, 0 to 1, the outcome is "uncertain"; none is what the model's card says."""

    def __post_init__(self) -> None:
        _within("model", "threads", self.threads, 0, 64)
        _within("model", "abstain", self.abstain, 0, 0.99)


@dataclass(frozen=True, slots=True)
class Limits:
    """Outside these a face is not read: its label is "uncertain", with the reason."""

    min_face_px: float = 24.0
    """Width of the face's box, pixels ("small"). Validation faces shrunk to that lose 3 points of accuracy."""
    min_sharpness: float = 0.012
    """Sharpness of the crop as `edge.perceive.sharpness` measures it, 0 and up ("blurred"). Sharp faces have 0.2 to
    1.5; validation faces blurred to 0.012 (2 pixels of 48, standard deviation) are read right in two of three cases."""
    max_turn: float = 0.45
    """How far the nose is off the eyes' middle, in eye distances ("turned")."""

    def __post_init__(self) -> None:
        _within("limits", "min_face_px", self.min_face_px, 0, 4000)
        _within("limits", "min_sharpness", self.min_sharpness, 0, 1000)
        _within("limits", "max_turn", self.max_turn, 0, 10)


@dataclass(frozen=True, slots=True)
class Track:
    min_iou: float = 0.3
    """A face belongs to a track whose predicted box it overlaps by this much, 0 to 1."""
    lost_seconds: float = 1.0
    """A track not seen for so long has ended."""
    confirm_frames: int = 3
    """A track counts once it was seen in so many frames: a detector's flicker is no person."""
    longest_seconds: float = 3600.0
    """A face that stays takes a new number after so long: numbers are no identities."""

    def __post_init__(self) -> None:
        _within("track", "min_iou", self.min_iou, 0.05, 0.95)
        _within("track", "lost_seconds", self.lost_seconds, 0.05, 60)
        _within("track", "confirm_frames", self.confirm_frames, 1, 100)
        _within("track", "longest_seconds", self.longest_seconds, 1, 86400)


@dataclass(frozen=True, slots=True)
class Events:
    smooth_seconds: float = 0.4
    """Time constant of the exponential mean over a track's scores."""
    margin: float = 0.1
    """A new label must lead the present one by this much probability, 0 to 1 (hysteresis)."""
    dwell_seconds: float = 0.6
    """A new label must lead for so long before it is an event."""
    device: str = field(default_factory=socket.gethostname)
    """The name in each event record."""
    path: Path | None = None
    """File that the events are appended to, as JSON lines; none is standard output."""
    report_seconds: float = 10.0
    """How often the log has a line of speed; 0 is never."""

    def __post_init__(self) -> None:
        _within("events", "smooth_seconds", self.smooth_seconds, 0, 60)
        _within("events", "margin", self.margin, 0, 0.9)
        _within("events", "dwell_seconds", self.dwell_seconds, 0, 60)
        _within("events", "report_seconds", self.report_seconds, 0, 86400)


@dataclass(frozen=True, slots=True)
class Store:
    """The lasting record of events, which `emotion-edge events` reads."""

    path: Path | None = None
    """File of the record (SQLite); none keeps no record, and events for a broker wait until the end of the run only."""
    keep_days: float = 90.0
    """Older events are deleted."""
    keep_mb: float = 64.0
    """Before the record grows larger than this, megabytes, its oldest events are deleted."""

    def __post_init__(self) -> None:
        _within("store", "keep_days", self.keep_days, 0.01, 36500)
        _within("store", "keep_mb", self.keep_mb, 1, 1_000_000)


MQTT_TEXT_LIMIT = 200
"""Letters; a topic of the protocol may have 65,535 bytes, all parts together."""


@dataclass(frozen=True, slots=True)
class Mqtt:
    """The broker that labels and events are published to."""

    host: str = ""
    """Name or address of the broker; empty: none, and no connection is opened."""
    port: int = 0
    """Its port; 0 is 8883 with TLS and 1883 without."""
    tls: bool | None = None
    """Encrypt, and check the broker's certificate; none is yes, but for a broker on this machine."""
    ca_file: Path | None = None
    """Certificates of the authorities to trust (PEM); none is the system's."""
    user: str = ""
    """User at the broker; empty: anonymous."""
    password_file: Path | None = None
    """File whose first line is the password, for example a systemd credential."""
    topic: str = "emotion-edge"
    """Topics begin with this and the device's name."""
    discovery: str = "homeassistant"
    """Home Assistant's discovery prefix; empty: the device does not announce itself."""

    def __post_init__(self) -> None:
        _within("mqtt", "port", self.port, 0, 65535)
        for name in ("host", "topic", "discovery"):
            said = getattr(self, name)
            if len(said) > MQTT_TEXT_LIMIT:
                raise SettingsError(f"[mqtt] {name} has {len(said)} letters: expected at most {MQTT_TEXT_LIMIT}")
            if name != "host" and (set("+#\0") & set(said) or said != said.strip("/")):
                raise SettingsError(f"[mqtt] {name} = {said!r}: expected a topic without + and #, no / at its ends")
        if not self.topic:
            raise SettingsError("[mqtt] topic = '': expected the first part of the topics, such as 'emotion-edge'")

    @property
    def encrypted(self) -> bool:
        return self.host not in LOOPBACK if self.tls is None else self.tls


@dataclass(frozen=True, slots=True)
class Page:
    """The web page and API, served by a process of its own."""

    address: str = ""
    """Address to listen on, "127.0.0.1" for this machine only; empty: no page. Others can reach any other address,
    which needs token_file."""
    port: int = 8088
    """Port to listen on; 0 is any that is free, which the log tells."""
    token_file: Path | None = None
    """File whose first line is the secret that clients must know."""
    hosts: tuple[str, ...] = ()
    """Names that this machine is called by in a browser's address, besides `address`."""
    picture: bool = True
    """Show the picture to who watches; false: readings and charts only."""
    certificate: Path | None = None
    """TLS certificate (PEM); none: plain HTTP."""
    key: Path | None = None
    """The certificate's key (PEM)."""

    def __post_init__(self) -> None:
        _within("page", "port", self.port, 0, 65535)
        if self.address and self.address not in LOOPBACK and not self.token_file:
            raise SettingsError(
                f"[page] address = {self.address!r} can be reached by others: expected token_file, "
                'or address = "127.0.0.1"'
            )


@dataclass(frozen=True, slots=True)
class Governor:
    """Goals that the daemon trades work for: see `edge.governor`. They hold for live sources."""

    max_age_ms: float = 200.0
    """How old a picture may be when its labels are out (95 of 100)."""
    max_celsius: float = 78.0
    """How warm the board may be; a Raspberry Pi throttles itself at 80."""
    longest_interval: int = 4
    """Faces are searched at least in every so many frames; 1 is always in all of them."""
    slow_fps: float = 10.0
    """If that is still too much, so many frames a second are looked at; 0 is never fewer than there are."""
    idle_seconds: float = 10.0
    """After so long without a face, fewer frames are looked at; 0 is never."""
    idle_fps: float = 10.0
    """So many a second."""
    spans_folder: Path | None = None
    """Around a picture older than max_age_ms, the times of each frame are kept in a file here: see `edge.spans`; none
    keeps none."""

    def __post_init__(self) -> None:
        _within("governor", "max_age_ms", self.max_age_ms, 1, 60000)
        _within("governor", "max_celsius", self.max_celsius, 1, 150)
        _within("governor", "longest_interval", self.longest_interval, 1, 64)
        _within("governor", "slow_fps", self.slow_fps, 0, 1000)
        _within("governor", "idle_seconds", self.idle_seconds, 0, 86400)
        _within("governor", "idle_fps", self.idle_fps, 0.1, 1000)


Context = Literal["", "home", "testing", "research", "care", "public", "workplace", "education"]
CONTEXTS = typing.get_args(Context)[1:]
"""Those that can be stated."""


@dataclass(frozen=True, slots=True)
class Privacy:
    """What a camera is used for, which must be said before one is opened. See `edge.privacy` for why."""

    context: Context = ""
    """Where the camera looks: "home" (your own household), "testing" (you, and who agreed to it), "research", "care",
    "public", "workplace" or "education"."""
    notice_shown: bool = False
    """The people in front of it are told, see `emotion-edge notice`; demanded but for "home" and "testing"."""
    medical_or_safety: bool = False
    """The use is for medical or safety reasons; demanded for "workplace" and "education"."""
    contact: str = ""
    """Who answers for the camera: a name, and how to reach them; stands on the notice."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set; the defaults work."""

    camera: Camera = field(default_factory=Camera)
    faces: Faces = field(default_factory=Faces)
    model: Model = field(default_factory=Model)
    limits: Limits = field(default_factory=Limits)
    track: Track = field(default_factory=Track)
    events: Events = field(default_factory=Events)
    store: Store = field(default_factory=Store)
    mqtt: Mqtt = field(default_factory=Mqtt)
    page: Page = field(default_factory=Page)
    governor: Governor = field(default_factory=Governor)
    privacy: Privacy = field(default_factory=Privacy)


def read(path: Path) -> Settings:
    """The settings in a TOML file; SettingsError names the file, the table and the name that is wrong."""
    try:
        return build(Settings, tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise SettingsError(f"{path}: cannot read the settings: {error.strerror}") from error
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error
    except (ValueError, OverflowError, RecursionError) as error:  # beyond TOML's own: bytes, numbers, nesting
        raise SettingsError(f"{path}: no valid TOML: {error}") from error


def changed(settings: Settings, said: Sequence[str]) -> Settings:
    """The settings with others in their place, each as TABLE.NAME=VALUE, VALUE as in a settings file.

    Text needs no quotation marks. SettingsError for what does not fit.
    """
    tables: dict[str, dict[str, Any]] = {}
    for each in said:
        place, given, value = each.partition("=")
        table, dot, name = place.strip().partition(".")
        if not (given and dot and table in _names(Settings)):
            raise SettingsError(f"{each!r}: expected TABLE.NAME=VALUE with a TABLE of {', '.join(_names(Settings))}")
        tables.setdefault(table, {})[name] = _toml_value(value.strip())
    for table, names in tables.items():  # whole tables at once: some settings are allowed only beside others
        before = getattr(settings, table)
        settings = replace(settings, **{table: replace(before, **_values(type(before), names, table))})
    return settings


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        return text


def _names(kind: Any) -> list[str]:
    return [each.name for each in fields(kind)]


def build(kind: type[T], given: dict[str, Any], table: str = "") -> T:
    """A dataclass from a table of TOML; refuses names and types that it does not have."""
    return kind(**_values(kind, given, table))


def _values(kind: type, given: dict[str, Any], table: str) -> dict[str, Any]:
    """What a table says, by the dataclass's names and as its types."""
    kinds = typing.get_type_hints(kind)
    known = _names(kind)
    for name in given:
        if name not in known:
            guess = get_close_matches(name, known, 1)
            hint = f"; did you mean {guess[0]!r}?" if guess else "."
            raise SettingsError(f"{_place(table)}unknown name {name!r}{hint} There are: {', '.join(known)}")
    return {name: _value(kinds[name], value, table, name) for name, value in given.items()}


def _place(table: str) -> str:
    return f"[{table}] " if table else ""


def _value(kind: Any, value: Any, table: str, name: str) -> Any:
    """`value` as `kind`: a table, a whole number for a float, text for a path; SettingsError for what does not fit."""
    if is_dataclass(kind):
        if isinstance(value, dict):
            return build(typing.cast(type, kind), value, name)
        raise SettingsError(f"{name} = {value!r}: expected a table [{name}]")
    options = typing.get_args(kind)
    if typing.get_origin(kind) is Literal:
        if value in options:
            return value
        raise SettingsError(f"{_place(table)}{name} = {value!r}: expected one of {', '.join(map(repr, options))}")
    wanted = options[0] if typing.get_origin(kind) is types.UnionType else kind
    if wanted is float and type(value) is int:
        return float(value)
    if wanted is Path and isinstance(value, str):
        return Path(value).expanduser()
    if typing.get_origin(kind) is tuple and isinstance(value, list) and all(type(each) is str for each in value):
        return tuple(value)
    if type(value) is wanted:
        return value
    raise SettingsError(f"{_place(table)}{name} = {value!r}: expected {WORDS[typing.get_origin(wanted) or wanted]}")
