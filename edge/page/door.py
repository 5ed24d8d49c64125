"""Door: who may come in, by token or by the cookie that a token was exchanged for."""

import hashlib
import hmac
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

from edge.page.allowance import Allowance

COOKIE = "emotion_edge_session"

SESSION_SECONDS = 30 * 86400
"""How long a browser keeps its cookie. A new token ends all sessions at once."""

WRONG_AT_ONCE, WRONG_PER_SECOND = 10, 1 / 6
"""Tokens that one address may get wrong before it must wait."""

MOST_ADDRESSES = 1000
"""So many addresses that got a token wrong are remembered; the one that did so longest ago is forgotten first."""


class TooManyError(Exception):
    """This address got too many tokens wrong; `seconds` says how long it must wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = math.ceil(seconds)


class Door:
    """Open for all if the token is empty.

    A session is a number of chance, signed with a key that only who has the token can make: it outlives this process,
    and nothing is kept for it here. Comparisons take the same time wherever texts differ.
    """

    def __init__(self, token: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.open = not token
        self._token = token.encode()
        self._key = hmac.digest(self._token, b"emotion-edge session", "sha256")
        self._monotonic = monotonic
        self._wrong: OrderedDict[str, Allowance] = OrderedDict()

    def knows(self, token: str, address: str) -> bool:
        """Whether the token is right; TooManyError when this address must wait before it may try again."""
        wrong = self._wrong.get(address)
        if wrong and wrong.left < 1:
            raise TooManyError(wrong.seconds_until())
        if hmac.compare_digest(token.encode(errors="replace"), self._token):
            return True
        self._wrong.setdefault(address, Allowance(WRONG_AT_ONCE, WRONG_PER_SECOND, self._monotonic)).take()
        self._wrong.move_to_end(address)
        if len(self._wrong) > MOST_ADDRESSES:
            self._wrong.popitem(last=False)
        return False

    def new_session(self) -> str:
        """What a browser is given to keep."""
        number = secrets.token_hex(16)
        return f"{number}.{self._signature(number)}"

    def knows_session(self, session: str) -> bool:
        """Whether `new_session` gave it, under the token of now."""
        number, _, signature = session.partition(".")
        return hmac.compare_digest(signature.encode(errors="replace"), self._signature(number).encode())

    def _signature(self, number: str) -> str:
        return hmac.new(self._key, number.encode(errors="replace"), hashlib.sha256).hexdigest()
