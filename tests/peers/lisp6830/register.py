"""Registration of an ETR with its Map-Servers (RFC 6833, section 4.2)."""

from __future__ import annotations

from typing import Callable

from .address import Eid, Ip
from .control import Control, new_nonce
from .events import Journal
from .loop import Loop, Timer
from .wire import MAP_NOTIFY, MAP_REGISTER, Authenticated, Record

EAGER_ATTEMPTS = 5


class Registrar:
    """Registers all own prefixes with every Map-Server, periodically and when told.

    The nonce is 0 unless `nonzero`: RFC 6830 sets it so. `moved` is called for a prefix that an authentic
    Map-Notify shows at other locators only.
    """

    def __init__(self, loop: Loop, journal: Journal, control: Control, servers: list[Ip], port: int, key: bytes,
                 records: Callable[[], list[Record]], moved: Callable[[Record], None], *, interval: float,
                 retry: float, proxy: bool, want_notify: bool, nonzero: bool, auth_length: int):
        self._loop, self._journal, self._control = loop, journal, control
        self._servers, self._port, self._key = servers, port, key
        self._records, self._moved = records, moved
        self._interval, self._retry = interval, retry
        self._proxy, self._want_notify, self._nonzero, self._auth_length = proxy, want_notify, nonzero, auth_length
        self._timer: Timer | None = None
        self._eager = 0
        self._nonce = 0

    def now(self) -> None:
        """Registers at once; repeated quickly until a Map-Notify comes, if one is wanted."""
        self._eager = EAGER_ATTEMPTS if self._want_notify else 0
        self._again()

    def withdraw(self, eid: Eid, record: Record) -> None:
        """Takes a registration back: the record without locators and with a time to live of 0."""
        self._send((record._replace(eid=eid, ttl=0, locators=()),))
        self._journal.tell("withdrawn", eid=eid)

    def _again(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        records = tuple(self._records())
        if records:
            self._send(records)
        wait = self._interval
        if self._eager:
            self._eager -= 1
            wait = min(self._retry, self._interval)
        self._timer = self._loop.after(wait, self._again)

    def _send(self, records: tuple[Record, ...]) -> None:
        self._nonce = new_nonce() if self._nonzero else 0
        data = Authenticated(MAP_REGISTER, self._nonce, records, self._proxy, self._want_notify,
                             auth_length=self._auth_length).encode(self._key)
        for server in self._servers:
            self._control.send(data, server, self._port)
        self._journal.tell("register-sent", eids=[str(record.eid) for record in records], nonce=self._nonce)

    def notified(self, notify: Authenticated, sender: Ip) -> None:
        """A Map-Notify: either says that the registration stands, or that another ETR has it now."""
        if notify.kind != MAP_NOTIFY or not notify.signed_with(self._key):
            self._journal.drop("notify-not-authentic", sender=sender)
            return
        own = {record.eid: {locator.address for locator in record.locators} for record in self._records()}
        stands, strange = [], []
        for record in notify.records:
            mine = own.get(record.eid)
            if mine is None:
                strange.append(record.eid)
            elif mine & {locator.address for locator in record.locators} or not record.locators:
                stands.append(record.eid)
            else:
                self._journal.tell("moved-away", eid=record.eid, sender=sender,
                                   locators=[str(locator) for locator in record.locators])
                self._moved(record)
        if strange:
            self._journal.drop("notify-for-another-eid", sender=sender, eid=strange[0])
        if stands and notify.nonce == self._nonce:
            self._journal.tell("map-notify", eids=[str(eid) for eid in stands], sender=sender, nonce=notify.nonce)
            if self._eager:
                self._eager = 0
                self._journal.tell("registered", eids=[str(eid) for eid in stands], server=sender)
                self._timer.cancel()
                self._timer = self._loop.after(self._interval, self._again)
