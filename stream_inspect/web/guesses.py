"""How many different wrong tokens an address may try: guessing stays hopeless, and a client that repeats an old token
is refused at once and takes nothing from the others.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress

from stream_inspect import log

GUESSES_MAX = 600
"""Different wrong tokens that an address may try in a row: more than all the dashboards behind one proxy hold."""
GUESSES_PER_S = 1.0
"""So many more it may try with time: the sustained rate of guessing."""
_ADDRESSES_MAX = 1024
_REPEATED_MAX = 1024
_WARN_EVERY_S = 600.0
_FORGET_EVERY_S = 1.0
_OTHERS = ""
"""Shares one allowance: the addresses beyond `_ADDRESSES_MAX`."""


class Guesses:
    """Counts by address, in bounded tables. A network of IPv6 (/64) counts as one address: its hosts choose theirs."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._spent: dict[str, tuple[float, float]] = {}
        """Address -> (guesses spent, when that was noted)."""
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._warn_at_s = self._forget_at_s = clock_s()
        self._log = log.get_logger(__name__)

    def is_repeated(self, digest: bytes) -> bool:
        """Whether this token was found wrong lately: sending it again is not a guess."""
        if digest not in self._wrong:
            return False
        self._wrong.move_to_end(digest)
        return True

    def may_guess(self, address: str) -> bool:
        """Whether a token from this address is compared at all."""
        return self._spent_by(self._counted_as(address)) + 1 <= GUESSES_MAX

    def note_wrong(self, address: str, digest: bytes) -> None:
        """This address has tried a wrong token that was not known."""
        self._wrong[digest] = None
        if len(self._wrong) > _REPEATED_MAX:
            self._wrong.popitem(last=False)
        counted_as = self._counted_as(address)
        self._spent[counted_as] = (self._spent_by(counted_as) + 1, self._clock_s())
        if not self.may_guess(address) and self._clock_s() >= self._warn_at_s:
            self._warn_at_s = self._clock_s() + _WARN_EVERY_S
            self._log.warning("too many wrong tokens; rejecting all but one a second", address=address)

    def _spent_by(self, counted_as: str) -> float:
        spent, at_s = self._spent.get(counted_as, (0.0, 0.0))
        return max(0.0, spent - (self._clock_s() - at_s) * GUESSES_PER_S)

    def _counted_as(self, address: str) -> str:
        with suppress(ValueError):
            one = ipaddress.ip_address(address)
            if isinstance(one, ipaddress.IPv6Address):
                # On a socket of both families an IPv4 client is ::ffff:a.b.c.d, and all of them are one network.
                address = str(one.ipv4_mapped or ipaddress.ip_network(f"{address}/64", strict=False))
        if address in self._spent or len(self._spent) < _ADDRESSES_MAX:
            return address
        if self._clock_s() >= self._forget_at_s:
            self._forget_at_s = self._clock_s() + _FORGET_EVERY_S
            self._spent = {one: spent for one, spent in self._spent.items() if self._spent_by(one) > 0}
        return address if len(self._spent) < _ADDRESSES_MAX else _OTHERS
