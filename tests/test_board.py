"""What the board says, read from files as Linux and the Raspberry Pi's kernel have them."""

import pytest

from edge import board


def test_a_board_has_a_name(tmp_path):
    (tmp_path / "model").write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    assert board.model(tmp_path / "model") == "Raspberry Pi 5 Model B Rev 1.0"
    assert board.model(tmp_path / "none") == ""


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("processor\t: 0\nmodel name\t: AMD EPYC 9B14\nprocessor\t: 1\nmodel name\t: other\n", "AMD EPYC 9B14"),
        ("processor\t: 0\nBogoMIPS\t: 108.00\nCPU part\t: 0xd0b\n", "0xd0b"),
        ("processor\t: 0\n", ""),
    ],
)
def test_the_processor_is_the_first_that_the_kernel_names(tmp_path, told, name):
    (tmp_path / "cpuinfo").write_text(told)
    assert board.processor(tmp_path / "cpuinfo") == name


def test_the_temperature_is_that_of_the_hottest_zone_that_answers(tmp_path):
    for name, content in (("thermal_zone0", "48312\n"), ("thermal_zone1", "51000\n"), ("thermal_zone2", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "temp").write_text(content)
    (tmp_path / "thermal_zone3").mkdir()
    assert board.temperature_celsius(tmp_path) == 51.0


def test_without_a_thermal_zone_the_temperature_is_not_known(tmp_path):
    assert board.temperature_celsius(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("told", "names"),
    [
        ("0\n", ()),
        ("0x50005\n", ("under-voltage", "throttled", "under-voltage-occurred", "throttled-occurred")),
        ("80008", ("soft-temperature-limit", "soft-temperature-limit-occurred")),
        ("20000", ("frequency-capped-occurred",)),
        ("nonsense", ()),
    ],
)
@pytest.mark.parametrize("place", ["soc/soc:firmware", "soc@107c000000/soc@107c000000:firmware"])
def test_the_bits_of_throttling_have_names(tmp_path, told, names, place):
    folder = tmp_path / "devices/platform" / place
    folder.mkdir(parents=True)
    (folder / "get_throttled").write_text(told)
    assert board.throttled(tmp_path) == names


@pytest.mark.parametrize(("alarm", "names"), [("1\n", ("under-voltage",)), ("0\n", ())])
def test_the_upstream_kernel_tells_of_the_voltage_alone(tmp_path, alarm, names):
    for number, name in enumerate(("cpu_thermal", "rpi_volt")):
        folder = tmp_path / f"class/hwmon/hwmon{number}"
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "in0_lcrit_alarm").write_text("1\n")  # of another chip it would mean something else
    (folder / "in0_lcrit_alarm").write_text(alarm)
    assert board.throttled(tmp_path) == names
    assert board.throttle_bits(tmp_path) is not None


def test_a_board_that_does_not_tell_is_not_throttled(tmp_path):
    assert board.throttled(tmp_path / "none") == ()
    assert board.throttle_bits(tmp_path / "none") is None


def test_this_process_has_memory():
    assert 10e6 < board.resident_bytes() < 100e9
