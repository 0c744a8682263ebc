"""Commands to a running router on standard input, one a line; the end of the input ends the router.

    add PREFIX         the prefix is at this site now
    remove PREFIX      it is elsewhere now
    withdraw PREFIX    as remove, and the Map-Servers are told
    resolve ADDRESS    ask for its mapping
    show               tell what is cached
    quit
"""

from __future__ import annotations

import os

from .events import Journal
from .loop import Loop
from .table import prefix
from .xtr import Xtr


class Commands:
    """Reads lines and does what they say; a line it does not understand is told and skipped."""

    def __init__(self, loop: Loop, journal: Journal, xtr: Xtr, iid: int):
        self._loop, self._journal, self._xtr, self._iid = loop, journal, xtr, iid
        self._left = b""
        os.set_blocking(0, False)
        loop.readable(0, self._readable)

    def _readable(self) -> None:
        try:
            piece = os.read(0, 4096)
        except BlockingIOError:
            return
        if not piece:
            self._loop.forget(0)
            self._loop.stop()
            return
        *lines, self._left = (self._left + piece).split(b"\n")
        for line in lines:
            self._do(line.decode(errors="replace").split())

    def _do(self, words: list[str]) -> None:
        on_prefix = {"add": self._xtr.add, "remove": self._xtr.drop, "withdraw": self._xtr.withdraw,
                     "resolve": self._xtr.resolve}
        try:
            match words:
                case []:
                    pass
                case ["quit"]:
                    self._loop.stop()
                case ["show"]:
                    self._xtr.show()
                case [name, text] if name in on_prefix:
                    on_prefix[name](prefix(text, self._iid))
                case _:
                    raise ValueError("no such command")
        except ValueError as cause:
            self._journal.tell("command-refused", line=" ".join(words), cause=cause)
