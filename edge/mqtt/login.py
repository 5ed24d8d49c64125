"""Login: what it takes to connect to the broker that the settings name."""

import random
import socket
import ssl
from dataclasses import dataclass, field

from edge import config
from edge.errors import SettingsError

PASSWORD_BYTES = 1024
"""A password is at most so long."""

CERTIFICATE_HINTS = {
    9: "its certificate is not valid yet: is the clock of this computer right?",
    10: "its certificate has expired: renew it on the broker, or is the clock of this computer wrong?",
    62: "its certificate is for another name: set [mqtt] host to the name in it",
    64: "its certificate is for another address: set [mqtt] host to the name in it",
}
"""What is wrong with a certificate, by OpenSSL's number (X509_V_ERR_*)."""


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho leaves that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


@dataclass(frozen=True, slots=True)
class Login:
    """All that it takes to connect."""

    host: str
    port: int
    client_id: str
    user: str | None
    password: str | None = field(repr=False)
    context: ssl.SSLContext | None
    """None: no encryption."""

    @property
    def place(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def login(settings: config.Mqtt, device_id: str) -> Login:
    """What the settings say, with a client id of this process; SettingsError for a file that cannot be used.

    One id for a process: the broker then ends a connection that it still holds for us when we open the next, instead
    of saying "offline" for it later.
    """
    return Login(
        host=settings.host,
        port=settings.port or (8883 if settings.encrypted else 1883),
        client_id=f"{device_id}-{random.getrandbits(32):08x}",
        user=settings.user or None,
        password=_password(settings),
        context=_context(settings) if settings.encrypted else None,
    )


def _password(settings: config.Mqtt) -> str | None:
    path = settings.password_file
    if path is None:
        return None
    if not settings.user:
        raise SettingsError(f"[mqtt] password_file = '{path}' without a user: expected user too, or neither")
    try:
        with path.open("rb") as file:
            password = file.readline(PASSWORD_BYTES + 2).rstrip(b"\r\n").decode()
    except OSError as error:
        raise SettingsError(f"[mqtt] password_file = '{path}': cannot read it: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SettingsError(f"[mqtt] password_file = '{path}': expected text in UTF-8") from None  # it quotes the text
    if not 0 < len(password.encode()) <= PASSWORD_BYTES:
        raise SettingsError(f"[mqtt] password_file = '{path}': expected 1 to {PASSWORD_BYTES} bytes in its first line")
    return password


def _context(settings: config.Mqtt) -> ssl.SSLContext:
    """TLS that checks the certificate and the name in it, in each Python alike: 3.13's default one is stricter, and
    refuses the home-made authorities of most brokers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _TlsSocket
    try:
        if settings.ca_file is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(settings.ca_file)
    except ssl.SSLError as error:
        raise SettingsError(f"[mqtt] ca_file = '{settings.ca_file}': expected certificates in PEM") from error
    except OSError as error:
        raise SettingsError(f"[mqtt] ca_file = '{settings.ca_file}': cannot read it: {error.strerror}") from error
    return context


def why_not(error: OSError | ValueError, login: Login) -> str:
    """Why there is no connection, and what to do about it. ValueError: no name that could have an address."""
    place = login.place
    if isinstance(error, socket.gaierror | ValueError) and not isinstance(error, ssl.SSLError):
        return f"no address is known for {login.host!r}: check [mqtt] host and this computer's network"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the broker at {place} is not trusted: {CERTIFICATE_HINTS.get(error.verify_code) or _unsigned(error)}"
    if isinstance(error, TimeoutError):
        return f"nothing answers at {place}: check [mqtt] host and port, and the network"
    if isinstance(error, ConnectionRefusedError):
        return f"no broker listens at {place}: start it, or check [mqtt] host and port"
    if isinstance(error, ssl.SSLError) or (login.context and isinstance(error, ConnectionResetError)):
        return f"no TLS with {place} ({error.strerror}): does the broker expect it there? See [mqtt] tls and port"
    return f"no connection to {place}: {error.strerror or error}"


def _unsigned(error: ssl.SSLCertVerificationError) -> str:
    return f"nobody we trust has signed it ({error.verify_message}): set [mqtt] ca_file to its authority's"
