"""One thread: readable descriptors, timers, and an orderly end on SIGTERM or SIGINT."""

from __future__ import annotations

import heapq
import itertools
import os
import selectors
import signal
import time
from typing import Callable


class Timer:
    """A call at a later time; cancel() takes it back."""

    def __init__(self, call: Callable[[], None]):
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Nothing happens at the time set."""
        self.call = None


class Loop:
    """Runs until stop()."""

    def __init__(self):
        self._selector = selectors.DefaultSelector()
        self._timers: list = []
        self._order = itertools.count()
        self._running = True
        wake, tell = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(tell, False)
        signal.set_wakeup_fd(tell)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())
        self.readable(wake, lambda: os.read(wake, 64))

    def readable(self, descriptor, call: Callable[[], object]) -> None:
        """Calls whenever the descriptor can be read."""
        self._selector.register(descriptor, selectors.EVENT_READ, call)

    def forget(self, descriptor) -> None:
        """No more calls for this descriptor."""
        self._selector.unregister(descriptor)

    def after(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Calls once, `seconds` from now."""
        timer = Timer(call)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), timer))
        return timer

    def stop(self) -> None:
        """run() returns after what it is doing."""
        self._running = False

    def run(self) -> None:
        """Serves until stop()."""
        while self._running:
            while self._timers and self._timers[0][2].call is None:
                heapq.heappop(self._timers)
            wait = None
            if self._timers:
                wait = max(0.0, self._timers[0][0] - time.monotonic())
            for key, _ in self._selector.select(wait):
                key.data()
            while self._timers and self._timers[0][0] <= time.monotonic():
                timer = heapq.heappop(self._timers)[2]
                if timer.call is not None:
                    timer.call()
