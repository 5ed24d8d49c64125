"""Terms: what the page's process is told when it starts."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Terms:
    """Travels as one line of JSON over standard input: arguments and environment can be seen by others.

    token             what clients must know; empty for none
    address, port     where the page listens
    hosts             names, besides the address, that it may be called by; one may have a port of its own
    picture           whether the picture may be seen
    certificate, key  files for TLS; both empty for none
    store             file of the record of events; empty for none
    log_level         as Python's logging counts it
    """

    token: str
    address: str
    port: int
    hosts: tuple[str, ...]
    picture: bool
    certificate: str
    key: str
    store: str
    log_level: int

    @property
    def scheme(self) -> str:
        return "https" if self.certificate else "http"

    def to_line(self) -> bytes:
        """As JSON on one line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def from_line(line: bytes) -> "Terms":
        """Those that `to_line` wrote."""
        given = json.loads(line)
        return Terms(**given | {"hosts": tuple(given["hosts"])})
