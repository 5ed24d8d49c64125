"""Doctor on the computer itself, from files as Linux and a Raspberry Pi have them, written below a folder."""

import os
from pathlib import Path

import pytest

from edge import config
from edge.doctor import checks, disks, machine

CARD = "22 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw\n"
CARD_WITH_ATIME = CARD.replace("noatime", "relatime")
NVME = "22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw\n"
OVERLAY = "22 1 0:28 / / rw,relatime - overlay overlay rw,lowerdir=/media/root-ro,upperdir=/media/root-rw\n"

BOOKWORM = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n'


def tree(root: Path, **files: str) -> Path:
    """Files below `root`, their names as keywords with __ for /, for example proc__swaps."""
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_DASH_", "-")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def mounted(root: Path, mountinfo: str) -> Path:
    return tree(root, proc__self__mountinfo=mountinfo)


@pytest.mark.parametrize(
    ("told", "verdict", "says"),
    [
        (BOOKWORM, "ok", "Debian GNU/Linux 12 (bookworm), Linux "),
        ("ID=ubuntu\nVERSION_ID=24.04\nPRETTY_NAME='Ubuntu 24.04.3 LTS'\n", "ok", "Ubuntu 24.04.3 LTS, "),
        ("ID=arch\nPRETTY_NAME=Arch\n", "warn", "Arch, "),
        ("", "warn", "unknown"),
    ],
)
def test_systems_that_were_tried_are_well_and_others_a_warning(tmp_path, told, verdict, says):
    made = machine.system(tree(tmp_path, **({"etc__os_DASH_release": told} if told else {})))
    assert (made.verdict, made.found.startswith(says)) == (verdict, True)
    assert bool(made.mend) == (verdict == "warn")


@pytest.mark.parametrize(("kibibytes", "verdict"), [("8063456", "ok"), ("432748", "warn")])
def test_a_board_is_named_and_little_memory_is_a_warning(tmp_path, kibibytes, verdict):
    files = {"proc__meminfo": f"MemTotal:  {kibibytes} kB\nMemFree: 1 kB\n"}
    made = machine.computer(tree(tmp_path, **{"proc__device-tree__model": "Raspberry Pi 5 Model B Rev 1.0\0"}, **files))
    assert made.verdict == verdict
    assert made.found == f"Raspberry Pi 5 Model B Rev 1.0, {int(kibibytes) // 1024} MiB of memory"
    assert ("Lite" in made.mend) == (verdict == "warn")


def test_a_computer_that_tells_nothing_is_unknown_and_nothing_fails(tmp_path):
    early = [each for each, _ in zip(checks(config.Settings(), tmp_path), range(12), strict=False)]
    assert [each.name for each in early if each.verdict == "fail"] == []
    assert {each.name: each.found for each in early}["board"] == "unknown"


@pytest.mark.parametrize(
    ("kernel", "bits", "verdict", "says"),
    [
        ("aarch64", 64, "ok", ""),
        ("x86_64", 64, "ok", ""),
        ("aarch64", 32, "fail", "32 bits on a kernel of 64"),
        ("armv7l", 32, "fail", "armv7l, programs of 32 bits"),
        ("riscv64", 64, "fail", "riscv64"),
    ],
)
def test_32_bits_are_noticed_also_on_a_kernel_of_64(kernel, bits, verdict, says):
    made = machine.architecture(kernel, bits)
    assert made.verdict == verdict and says in made.found
    assert ("64-bit image" in made.mend) == (verdict == "fail")


@pytest.mark.parametrize(("version", "verdict"), [((2, 36), "ok"), ((2, 28), "ok"), ((2, 27), "fail"), ((), "fail")])
def test_an_old_or_another_c_library_fails(version, verdict):
    made = machine.glibc(version)
    assert made.verdict == verdict
    assert bool(made.mend) == (verdict == "fail")


def test_the_c_library_of_these_tests_is_one_that_its_wheels_fit():
    assert machine.glibc().verdict == "ok"


@pytest.mark.parametrize(("name", "verdict"), [("ondemand\n", "ok"), ("", "ok"), ("powersave\n", "warn")])
def test_a_clock_that_is_kept_slow_is_a_warning(tmp_path, name, verdict):
    made = machine.governor(tree(tmp_path, sys__devices__system__cpu__cpu0__cpufreq__scaling_governor=name))
    assert (made.verdict, "schedutil" in made.mend) == (verdict, verdict == "warn")


@pytest.mark.parametrize(("told", "verdict"), [("48312", "ok"), ("78000", "warn"), ("85500", "fail"), ("", "ok")])
def test_heat_is_measured_by_the_limit_of_the_settings(tmp_path, told, verdict):
    made = machine.temperature(tree(tmp_path, sys__class__thermal__thermal_zone0__temp=told), config.Governor())
    assert (made.verdict, "heat sink" in made.mend) == (verdict, verdict != "ok")


@pytest.mark.parametrize(
    ("told", "verdict", "mend"),
    [
        ("0", "ok", ""),
        ("50000", "warn", "power supply"),
        ("50005", "fail", "power supply"),
        ("e0008", "fail", "heat sink"),
        ("e0000", "warn", "heat sink"),
    ],
)
def test_what_throttles_now_fails_and_what_did_is_a_warning(tmp_path, told, verdict, mend):
    place = "sys__devices__platform__soc__soc:firmware__get_throttled"
    made = machine.throttling(tree(tmp_path, **{place: told}))
    assert made.verdict == verdict and mend in made.mend


@pytest.mark.parametrize(
    ("swaps", "mountinfo", "verdict"),
    [
        ("", CARD, "ok"),
        ("/dev/zram0 partition 1048572 0 100\n", CARD, "ok"),
        ("/var/swap file 102396 0 -2\n", CARD, "warn"),
        ("/var/swap file 102396 0 -2\n", NVME, "ok"),
        ("/dev/mmcblk0p3 partition 102396 0 -2\n", NVME, "warn"),
        ("/dev/sda3 partition 102396 0 -2\n", CARD, "ok"),
    ],
)
def test_swapping_to_a_card_is_a_warning(tmp_path, swaps, mountinfo, verdict):
    root = mounted(tree(tmp_path, proc__swaps="Filename Type Size Used Priority\n" + swaps), mountinfo)
    made = machine.swap(root)
    assert (made.verdict, "zram" in made.mend) == (verdict, verdict == "warn")


@pytest.mark.parametrize(("kept", "verdict"), [(True, "ok"), (False, "warn")])
def test_a_clock_that_nobody_keeps_is_a_warning(kept, verdict):
    made = machine.clock(lambda: kept)
    assert (made.verdict, "set-ntp" in made.mend) == (verdict, not kept)


@pytest.mark.parametrize(("cores", "threads", "verdict"), [(4, 1, "ok"), (1, 1, "warn"), (2, 4, "warn")])
def test_fewer_cores_than_wanted_is_a_warning(cores, threads, verdict, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    made = machine.threads(config.Settings(model=config.Model(threads=threads)))
    assert made.verdict == verdict and f"{cores} cores" in made.found
    assert bool(made.mend) == (verdict == "warn")


@pytest.mark.parametrize(
    ("mountinfo", "verdict", "says"),
    [
        (CARD, "ok", "/ on /dev/mmcblk0p2 (ext4, rw,noatime)"),
        (CARD_WITH_ATIME, "warn", "may write to the card"),
        (CARD_WITH_ATIME.replace(" rw,relatime ", " ro,relatime "), "ok", "ro,"),
        (NVME, "ok", "nvme"),
        (OVERLAY, "ok", "overlay"),
        ("", "ok", "does not tell"),
        ("nonsense\n1 2 - x\n", "ok", "does not tell"),
    ],
)
def test_a_card_that_is_written_to_by_reading_is_a_warning(tmp_path, mountinfo, verdict, says):
    made = disks.disk(mounted(tmp_path, mountinfo))
    assert made.verdict == verdict and says in made.found
    assert ("/etc/fstab" in made.mend) == (verdict == "warn")


def test_a_card_behind_the_name_dev_root_is_known_by_its_number(tmp_path):
    root = mounted(tmp_path, CARD_WITH_ATIME.replace("/dev/mmcblk0p2", "/dev/root"))
    assert disks.disk(root).verdict == "ok"
    (root / "sys/dev/block").mkdir(parents=True)
    (root / "sys/dev/block/179:2").symlink_to("../../devices/platform/mmc1/block/mmcblk0/mmcblk0p2")
    assert disks.disk(root).verdict == "warn"


def test_the_deepest_and_the_last_mount_is_the_one(tmp_path):
    lines = CARD + "30 22 0:40 / /var/lib rw - tmpfs one rw\n31 22 0:41 / /var/lib rw - ext4 two rw\n"
    root = mounted(tmp_path, lines + "32 22 0:42 / /var/lib/my\\040disk rw - vfat three rw\n")
    places = {"/var/lib/emotion-edge": "two", "/var/library": "/dev/mmcblk0p2", "/var/lib/my disk/x": "three"}
    assert {each: disks.mount_of(Path(each), root).source for each in places} == places


@pytest.mark.parametrize(
    ("files", "mountinfo", "verdict", "says"),
    [
        ({}, CARD, "ok", "Storage=auto, in memory"),
        ({"var__log__journal__x": ""}, CARD, "warn", "Storage=auto"),
        ({"var__log__journal__x": ""}, NVME, "ok", "on the disk"),
        ({"var__log__journal__x": "", "etc__systemd__journald.conf": "#Storage=persistent\n"}, CARD, "warn", "auto"),
        ({"etc__systemd__journald.conf": "[Journal]\nStorage=persistent\n"}, CARD, "warn", "persistent"),
        (
            {
                "etc__systemd__journald.conf": "[Journal]\nStorage = persistent\n",
                "usr__lib__systemd__journald.conf.d__40-rpi-volatile-storage.conf": "[Journal]\nStorage=volatile\n",
            },
            CARD,
            "ok",
            "Storage=volatile, in memory",
        ),
        (
            {
                "usr__lib__systemd__journald.conf.d__40-a.conf": "[Journal]\nStorage=volatile\n",
                "etc__systemd__journald.conf.d__40-a.conf": "[Journal]\nStorage=persistent\n",
            },
            CARD,
            "warn",
            "persistent",
        ),
        (
            {
                "usr__lib__systemd__journald.conf.d__90-a.conf": "[Journal]\nStorage=none\n",
                "etc__systemd__journald.conf.d__10-b.conf": "[Journal]\nStorage=persistent\n",
            },
            CARD,
            "ok",
            "Storage=none",
        ),
        (
            {
                "usr__lib__systemd__journald.conf.d__10-a.conf": "[Journal]\nStorage=none\n",
                "etc__systemd__journald.conf.d__90-b.conf": "[Journal]\nStorage=persistent\n",
            },
            CARD,
            "warn",
            "Storage=persistent",
        ),
    ],
)
def test_a_journal_on_a_card_is_a_warning(tmp_path, files, mountinfo, verdict, says):
    root = mounted(tree(tmp_path, run__systemd__journal__socket="", **files), mountinfo)
    made = disks.journal(root)
    assert made.verdict == verdict and says in made.found
    assert ("Storage=volatile" in made.mend) == (verdict == "warn")


def test_without_systemd_there_is_no_journal(tmp_path):
    assert disks.journal(mounted(tmp_path, CARD)).found.startswith("none")


def kept(path: Path | None, host: str = "", keep_mb: float = 1.0) -> config.Settings:
    return config.Settings(store=config.Store(path=path, keep_mb=keep_mb), mqtt=config.Mqtt(host=host))


def test_a_record_needs_a_folder_and_room(tmp_path):
    root = mounted(tmp_path, NVME)
    assert disks.store(kept(tmp_path / "events.db"), root).verdict == "ok"
    missing = disks.store(kept(tmp_path / "none" / "events.db"), root)
    assert (missing.verdict, missing.mend) == ("fail", f"sudo mkdir -p {tmp_path / 'none'}")
    full = disks.store(kept(tmp_path / "events.db", keep_mb=1e6), mounted(tmp_path, NVME))
    assert full.verdict == "fail" and "keep_mb" in full.mend


def test_a_record_where_the_service_will_have_its_folder_is_well(tmp_path, monkeypatch):
    monkeypatch.setattr(disks, "STATE", tmp_path / "state")
    made = disks.store(kept(tmp_path / "state" / "door" / "events.db"), tmp_path)
    assert made.verdict == "ok" and "first start" in made.found


def test_a_record_that_the_next_boot_forgets_is_a_warning(tmp_path):
    made = disks.store(kept(tmp_path / "events.db"), mounted(tmp_path, OVERLAY))
    assert made.verdict == "warn" and "overlay" in made.found + made.mend


def test_a_folder_that_this_user_may_not_write_to_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    made = disks.store(kept(tmp_path / "events.db"), mounted(tmp_path, NVME))
    assert made.verdict == "warn" and "may not write" in made.found


@pytest.mark.parametrize(("host", "verdict"), [("", "ok"), ("localhost", "warn")])
def test_no_record_is_a_warning_only_where_a_broker_wants_events(tmp_path, host, verdict):
    assert disks.store(kept(None, host), tmp_path).verdict == verdict
