"""The map-cache of an ITR (RFC 6830, sections 4.1, 6.1.4, 6.5)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from .address import Eid, Ip
from .table import Table
from .wire import Locator, Record

LONGEST_TTL = 24 * 60
UNUSABLE = 255


@dataclass
class Entry:
    """A mapping learned, when it ends (monotonic seconds), and the locators that did not answer probes."""

    record: Record
    ends: float
    down: set[Ip] = field(default_factory=set)

    def choose(self, flow: int, families: set[int]) -> Locator | None:
        """The locator for a flow: the best priority that is up, shared by weight."""
        up = [locator for locator in self.record.locators
              if locator.priority != UNUSABLE and locator.reachable and locator.address not in self.down
              and locator.address.version in families]
        if not up:
            return None
        best = min(locator.priority for locator in up)
        equal = sorted((locator for locator in up if locator.priority == best), key=lambda one: one.address.packed)
        weight = sum(locator.weight for locator in equal)
        if weight == 0:
            return equal[flow % len(equal)]
        point = flow % weight
        for locator in equal:
            if point < locator.weight:
                return locator
            point -= locator.weight
        raise AssertionError("a point below the sum of the weights lies in one of them")


class MapCache:
    """Mappings by prefix; one that has ended is gone."""

    def __init__(self):
        self._table: Table[Entry] = Table()

    def __iter__(self):
        return ((eid, self._table.get(eid)) for eid in self._table)

    def find(self, iid: int, address: Ip) -> Entry | None:
        """The most specific mapping of an address that has not ended."""
        while (found := self._table.at(iid, address)) is not None:
            eid, entry = found
            if entry.ends > time.monotonic():
                return entry
            self._table.pop(eid)
        return None

    def concerned(self, eid: Eid) -> bool:
        """Whether anything is cached that a change of `eid` may touch."""
        return bool(self._table.overlapping(eid))

    def install(self, asked: Eid, record: Record) -> None:
        """Takes a record of a Map-Reply.

        What lies between the prefix answered and the one asked for would have been the answer if it still
        existed, so it is removed: that is how a host that moved home loses its own entry.
        """
        for old in self._table.overlapping(asked):
            if old != record.eid and record.eid.covers(old) and old.covers(asked):
                self._table.pop(old)
        if record.ttl == 0:
            self._table.pop(record.eid)
            return
        self._table[record.eid] = Entry(record, time.monotonic() + min(record.ttl, LONGEST_TTL) * 60)
