"""The network: the broker takes us, and the page's port is free."""

import http.client
import json
import socket
import ssl
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from edge import config
from edge.doctor.check import Check
from edge.errors import SettingsError

if TYPE_CHECKING:  # they need paho and numpy, which may be what is broken
    from edge.mqtt.link import Link
    from edge.mqtt.login import Login

ANSWER_SECONDS = 1.5
"""For each step of the way: the connection, TLS, the broker's answer."""

CREDENTIALS = "/run/credentials/"
"""Where systemd puts a service's secrets, for that service alone and while it runs."""


def broker(settings: config.Settings) -> Check:
    """A real connection with the settings' name, password and certificates, which says nothing but goodbye."""
    said = settings.mqtt
    if not said.host:
        return Check("broker", "ok", "none is set")
    from edge import discovery
    from edge.mqtt.login import login

    try:
        name = discovery.device_id(settings.events.device)
        version, why = _connected(login(said, name), f"{said.topic}/{name}/doctor")
    except SettingsError as error:
        return _unreadable(said, str(error))
    if why:
        return Check("broker", "fail", why, "put [mqtt] right in the settings, then run doctor again")
    found = f"{said.host} takes us as {said.user or 'anybody'}, MQTT {version}, {'TLS' if said.encrypted else 'no TLS'}"
    if said.encrypted or said.host in config.LOOPBACK:
        return Check("broker", "ok", found)
    return Check(
        "broker", "warn", f"{found}: the network can read along", "give the broker a certificate; no tls=false"
    )


def _connected(login: "Login", topic: str) -> tuple[str, str]:
    """The version of the protocol that was agreed on, and why it was not; one of them is empty."""
    from paho.mqtt.enums import MQTTProtocolVersion

    from edge.mqtt.link import Link, Wake

    why = ""
    for version in (MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311):
        # A will that nobody reads: at the daemon's own topic it would call a running daemon offline.
        with closing(Wake()) as wake, closing(Link(login, version, (topic, ""), wake)) as link:
            if link.open(ANSWER_SECONDS) and _accepted(link):
                return link.version, ""
            why = link.why or f"{login.place} takes the connection and does not answer: is that a broker?"
            if not link.outdated:
                break
    return "", why


def _accepted(link: "Link") -> bool:
    """Whether the broker took us; then we have said goodbye."""
    deadline = time.monotonic() + ANSWER_SECONDS
    accepted = False
    while (left := deadline - time.monotonic()) > 0 and link.step(left):
        if link.up and not accepted:
            accepted = True
            link.leave()
    return accepted


def _unreadable(said: config.Mqtt, why: str) -> Check:
    """A secret that systemd hands to the service alone is no fault when somebody else looks."""
    if said.password_file and str(said.password_file).startswith(CREDENTIALS):
        mend = "start the service and run doctor with sudo; its own try stands in: journalctl -u emotion-edge"
        return Check("broker", "warn", why, mend)
    return Check("broker", "fail", why, "put [mqtt] right in the settings; who runs the daemon must be able to read it")


def page_port(settings: config.Page) -> Check:
    """Nobody has the page's port, or the daemon has it."""
    if not settings.address:
        return Check("page port", "ok", "no page is set")
    place = f"{settings.address}, port {settings.port}"
    family = socket.AF_INET6 if ":" in settings.address else socket.AF_INET
    try:
        socket.create_server((settings.address, settings.port), family=family).close()
        return Check("page port", "ok", f"{place}, free")
    except OSError as error:
        if _is_our_page(settings):
            return Check("page port", "ok", f"{place}, held by a running emotion-edge")
        mend = f"set [page] port to another one, or see who has it: sudo ss -ltnp 'sport = :{settings.port}'"
        return Check("page port", "fail", f"{place}: {error.strerror}", mend)


def _is_our_page(settings: config.Page) -> bool:
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.address, settings.address)
    unchecked = ssl._create_unverified_context()  # it is this machine, asked for its health alone
    connection = (
        http.client.HTTPSConnection(address, settings.port, timeout=ANSWER_SECONDS, context=unchecked)
        if settings.certificate
        else http.client.HTTPConnection(address, settings.port, timeout=ANSWER_SECONDS)
    )
    with closing(connection), suppress(OSError, ValueError, http.client.HTTPException):
        connection.request("GET", "/healthz")
        return set(json.loads(connection.getresponse().read(10_000))) == {"ok", "reason"}
    return False
