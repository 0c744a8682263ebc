"""What happened, one JSON object a line on standard output, so that a test can wait for it."""

import json
import sys
import time
from collections import Counter


class Journal:
    """Writes events. Packets dropped are counted by reason and told at 1, 2, 4, 8 ... so that a flood stays short."""

    def __init__(self, out=sys.stdout):
        self.out = out
        self.drops: Counter = Counter()

    def tell(self, event: str, **facts) -> None:
        """One line: the event, the time in seconds since the epoch, then its facts."""
        line = {"event": event, "time": round(time.time(), 4)}
        line.update((name, fact if isinstance(fact, (int, float, bool, list, dict, type(None))) else str(fact))
                    for name, fact in facts.items())
        try:
            print(json.dumps(line), file=self.out, flush=True)
        except BrokenPipeError:
            raise SystemExit(0) from None

    def drop(self, reason: str, **facts) -> None:
        """Counts a packet or message not taken."""
        self.drops[reason] += 1
        count = self.drops[reason]
        if count & (count - 1) == 0:
            self.tell("drop", reason=reason, count=count, **facts)
