"""The units as files: what they say twice is the same, and their limits fit the daemon's own."""

import itertools
from pathlib import Path

from edge import config
from edge.sources.watch import Limits

SYSTEMD = Path(__file__).parents[1] / "systemd"
UNIT, TEMPLATE = SYSTEMD / "emotion-edge.service", SYSTEMD / "emotion-edge@.service"


def options(unit: Path) -> dict[str, str]:
    lines = (line for line in unit.read_text().splitlines() if "=" in line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def test_the_template_is_the_unit_with_files_of_its_own():
    pairs = itertools.zip_longest(UNIT.read_text().splitlines(), TEMPLATE.read_text().splitlines(), fillvalue="")
    differing = [(plain, named) for plain, named in pairs if plain != named]
    named_after = {plain.partition("=")[0]: named for plain, named in differing}
    assert all("%i" in named for _, named in differing)
    assert len(differing) == 5
    assert named_after["ExecStart"].endswith(" --config /etc/emotion-edge/%i.toml")
    assert named_after["StateDirectory"] == "StateDirectory=emotion-edge/%i"


def seconds_until_given_up(tries: int) -> float:
    """How long a daemon whose camera is gone lives at least."""
    limits, delay, waited = Limits(), 0.0, 0.0
    for _ in range(tries - 1):
        waited += delay
        delay = min(max(limits.first_delay_seconds, 2 * delay), limits.longest_delay_seconds)
    return waited


def test_a_lost_camera_and_a_hang_never_reach_the_start_limit():
    said = options(UNIT)
    seconds_a_start = int(said["StartLimitIntervalSec"]) / int(said["StartLimitBurst"])
    pause = int(said["RestartSec"])
    assert seconds_until_given_up(config.Camera().give_up_after) + pause > 2 * seconds_a_start
    assert seconds_until_given_up(9) + pause > seconds_a_start
    assert seconds_until_given_up(8) + pause < seconds_a_start, "docs/daemon.md says 9"


def test_a_camera_has_time_to_open_before_the_watchdog_bites():
    assert int(options(UNIT)["WatchdogSec"]) > 2 * Limits().opening_seconds
