"""The systemd service: is it installed, does it run, did it fall?"""

from edge.doctor.check import Check, ask

UNITS = ("emotion-edge.service", "emotion-edge@*.service")
"""The one, and one for each further camera."""

ASKED = ("Id", "LoadState", "ActiveState", "SubState", "Result", "ExecMainStatus", "NRestarts", "UnitFileState")
"""See org.freedesktop.systemd1(5)."""

Properties = dict[str, str]


def service() -> Check:
    """The worst of its units, with the command that tells more."""
    answer = ask("systemctl", "show", *UNITS, f"--property={','.join((*ASKED, 'WatchdogUSec'))}")
    if answer is None or "not been booted with systemd" in answer.text or "connect to bus" in answer.text:
        return Check("service", "ok", "systemd does not run here")
    if answer.code is None:
        return Check("service", "warn", "systemctl does not answer", "systemctl is-system-running")
    units = [unit for unit in _units(answer.text) if unit.get("LoadState") == "loaded"]
    if not units:
        return Check("service", "ok", "not installed")
    looks = [_look(unit) for unit in units]
    return next((look for verdict in ("fail", "warn") for look in looks if look.verdict == verdict), looks[0])


def _units(text: str) -> list[Properties]:
    """systemctl sets units apart by an empty line."""
    blocks = text.strip().split("\n\n")
    return [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]


def _look(unit: Properties) -> Check:
    said = {name: unit.get(name, "") for name in (*ASKED, "WatchdogUSec")}
    name, restarts = said["Id"], said["NRestarts"] or "0"
    found = (
        f"{name} is {said['ActiveState']} ({said['SubState']}), watchdog {said['WatchdogUSec']}, {restarts} restarts"
    )
    if said["Result"] not in ("success", "") or said["ActiveState"] == "failed":
        mend = f"journalctl -u {name} -n 30; then: sudo systemctl reset-failed {name}; sudo systemctl start {name}"
        return Check("service", "fail", f"{found}; last end: {said['Result']}, code {said['ExecMainStatus']}", mend)
    if said["ActiveState"] != "active":
        return Check("service", "warn", found, f"sudo systemctl enable --now {name}")
    if restarts != "0":
        return Check("service", "warn", f"{found} since it was started", f"journalctl -u {name} -p warning")
    if said["UnitFileState"] == "disabled":
        return Check("service", "warn", f"{found}; it does not start at boot", f"sudo systemctl enable {name}")
    if said["WatchdogUSec"] in ("0", "infinity"):
        return Check("service", "warn", f"{found}; a hang is not noticed", "set WatchdogSec= in the unit")
    return Check("service", "ok", found)
