"""Limits: how often a client may ask, how often it may guess, and how much may wait for a thread."""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from anyio import CapacityLimiter

from solfa.errors import SolfaError

MOST_CLIENTS = 10_000  # that are remembered; beyond them, who has not asked for longest is forgotten
IPV6_PREFIX = 64  # bits that one household or machine shares
GUESSES_PER_MINUTE, GUESSES_AT_ONCE = 6, 10  # of a password
BUSY = (
    "The server has too much to do just now. Try again in some seconds. Who keeps it allows more: solfa "
    "serve --max-waiting"
)
OFTEN = (
    "You ask too often. Ask again in {seconds} s. Who keeps the server allows more: solfa serve --rate-limit"
)
GUESSED = "Too many wrong passwords came from your address. Ask again in {seconds} s, with the right one."
SECONDS_TO_WAIT = 5  # that a client is told where nobody knows


class TooMuchError(SolfaError):
    """More than the server takes just now, of all or of one client.

    Args:
        message: with the cure.
        seconds: after which another try may succeed.
        reason: one word for logs and metrics.
        is_of_client: whether it is this client that asks too much.
    """

    def __init__(self, message: str, seconds: float, reason: str, *, is_of_client: bool = False) -> None:
        super().__init__(message)
        self.status = 429 if is_of_client else 503
        self.retry_after, self.reason = str(math.ceil(seconds) or 1), reason


@dataclass(frozen=True)
class Load:
    """Threads of a kind: how many there may be, how many are at work, and how much waits for them."""

    n_workers: int
    n_busy: int
    n_waiting: int


def load_of(limiter: CapacityLimiter) -> Load:
    """The load of a limiter; to be asked in its event loop."""
    its = limiter.statistics()
    return Load(int(its.total_tokens), its.borrowed_tokens, its.tasks_waiting)


def check_waiting(limiter: CapacityLimiter, most: int) -> None:
    """Raises TooMuchError if as much waits for the threads of a limiter as may."""
    if limiter.statistics().tasks_waiting >= most:
        raise TooMuchError(BUSY, SECONDS_TO_WAIT, "busy")


class Rates:
    """Counts what each client takes, as a bucket that fills at a steady rate.

    For one thread.

    Args:
        per_minute: that a client may take in the long run; 0 for any number.
        burst: that it may take at once.
        clock: seconds.

    Source:
        The generic cell rate algorithm: ITU-T I.371 (2004), annex A.
    """

    def __init__(self, per_minute: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds_each = 60.0 / per_minute if per_minute else 0.0
        self.burst, self.clock = burst, clock
        self._empty_until: OrderedDict[str, float] = OrderedDict()  # when the bucket will be full again

    def __len__(self) -> int:
        return len(self._empty_until)

    def wait(self, client: str) -> float:
        """Seconds until a client may take one; 0 if it may now."""
        now = self.clock()
        full_at = max(self._empty_until.get(client, now), now)
        return max(0.0, full_at + self.seconds_each - self.burst * self.seconds_each - now)

    def take(self, client: str) -> float:
        """Take one if that is allowed; gives the seconds to wait if it is not, and 0 if it is."""
        if not self.seconds_each or (seconds := self.wait(client)):
            return seconds if self.seconds_each else 0.0
        now = self.clock()
        self._empty_until[client] = max(self._empty_until.get(client, now), now) + self.seconds_each
        self._empty_until.move_to_end(client)
        if len(self._empty_until) > MOST_CLIENTS:
            self._empty_until.popitem(last=False)
        return 0.0

    def check(self, client: str, text: str, reason: str, *, takes: bool = True) -> None:
        """Take one, or look whether one may be taken.

        Raises:
            TooMuchError: none may be; the text says when.
        """
        if seconds := self.take(client) if takes else self.wait(client):
            message = text.format(seconds=math.ceil(seconds))
            raise TooMuchError(message, seconds, reason, is_of_client=True)


def client_of(scope: MutableMapping[str, Any]) -> str:
    """Who asks: an IPv4 address, or the network of an IPv6 address, of which anybody has billions."""
    host = (scope.get("client") or ("unknown", 0))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))
