"""Longest match over prefixes of all instances: what the caches, databases and registrations here stand in."""

from __future__ import annotations

import ipaddress
from typing import Generic, Iterator, TypeVar

from .address import Eid, Ip

Value = TypeVar("Value")


class Table(Generic[Value]):
    """Prefixes with a value each."""

    def __init__(self):
        self._rows: dict[Eid, Value] = {}

    def __setitem__(self, eid: Eid, value: Value) -> None:
        self._rows[eid] = value

    def __iter__(self) -> Iterator[Eid]:
        return iter(list(self._rows))

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, eid: Eid) -> Value | None:
        """The value of exactly this prefix."""
        return self._rows.get(eid)

    def pop(self, eid: Eid) -> Value | None:
        """Takes a prefix out."""
        return self._rows.pop(eid, None)

    def longest(self, eid: Eid) -> tuple[Eid, Value] | None:
        """The most specific row that covers all of `eid`."""
        for length in range(eid.net.prefixlen, -1, -1):
            wider = Eid(eid.iid, eid.net.supernet(new_prefix=length))
            if wider in self._rows:
                return wider, self._rows[wider]
        return None

    def at(self, iid: int, address: Ip) -> tuple[Eid, Value] | None:
        """The most specific row that holds this address."""
        return self.longest(Eid.host(iid, address))

    def overlapping(self, eid: Eid) -> list[Eid]:
        """Every row that covers `eid` or lies inside it."""
        return [row for row in self._rows if row.overlaps(eid)]


def hole(eid: Eid, taken: Table, within: Eid | None = None) -> Eid:
    """The least specific prefix around `eid` that holds none of the rows `taken` (RFC 6833, section 4.4).

    A row that covers `eid` itself is no obstacle the answer could avoid and is not counted; `within`, if given,
    is the widest answer allowed.
    """
    floor = within.net.prefixlen if within is not None else 0
    others = [row for row in taken if row.iid == eid.iid and row.net.version == eid.net.version and not row.covers(eid)]
    for length in range(floor, eid.net.prefixlen):
        wider = Eid(eid.iid, eid.net.supernet(new_prefix=length))
        if not any(wider.overlaps(row) for row in others):
            return wider
    return eid


def prefix(text: str, iid: int = 0) -> Eid:
    """A prefix as a person writes it; an address alone is its own prefix."""
    return Eid(iid, ipaddress.ip_network(text, strict=False))
