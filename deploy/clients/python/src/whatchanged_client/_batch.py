from __future__ import annotations

import atexit
import json
import sys
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass
from typing import Any, Callable, Deque, Dict, List, Optional, Tuple

from ._errors import ProblemError, WhatchangedError
from ._transport import Transport

_LARGEST_BATCH = 1000  # events, the server's limit
_LARGEST_BODY = 8_000_000  # bytes of JSON, half of the server's limit

Event = Dict[str, Any]


def _say(error: Exception, event: Event) -> None:
    print(f"whatchanged: {event.get('action')} was not recorded: {error}", file=sys.stderr)


@dataclass(frozen=True)
class BatchOptions:
    """How events are sent together, by a thread of the client's own."""

    size: int = 100  #: send when so many wait; 1 to 1000
    interval: float = 1.0  #: send at the latest after so many seconds
    max_queued: int = 10_000  #: refuse more while so many wait
    on_error: Callable[[Exception, Event], None] = _say  #: told of each event that was not recorded


class Batcher:
    """Gathers events and sends them together, one batch after the other, in order."""

    def __init__(self, transport: Transport, options: BatchOptions) -> None:
        self._transport = transport
        self._options = options
        self._size = min(_LARGEST_BATCH, max(1, options.size))
        self._queue: Deque[Tuple[Event, bytes]] = deque()
        self._added = self._taken = self._done = 0  # events, since the start
        self._wanted = 0  # so many of them are to go at once
        self._due = 0.0  # when the oldest must go
        self._closed = False
        self._changed = threading.Condition()
        self._first_error: Optional[Exception] = None
        # A daemon, so that it does not keep the program alive; what waits at the end is sent before that.
        self._thread = threading.Thread(target=self._run, name="whatchanged", daemon=True)
        self._thread.start()
        atexit.register(self._at_exit)

    def add(self, event: Event) -> None:
        body = encode(event)
        with self._changed:
            if self._closed:
                raise WhatchangedError("the client is closed")
            if self._added - self._done >= self._options.max_queued:
                raise WhatchangedError(
                    f"{self._options.max_queued} events wait already: the server cannot be reached, or is too slow"
                )
            if not self._queue:
                self._due = time.monotonic() + self._options.interval
            self._queue.append((event, body))
            self._added += 1
            self._changed.notify_all()

    def flush(self) -> None:
        """Send what waits; raise the first error since the last flush."""
        with self._changed:
            wanted = self._wanted = self._added
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._done >= wanted)
            error, self._first_error = self._first_error, None
        if error:
            raise error

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        atexit.unregister(self._at_exit)
        self.flush()

    def _at_exit(self) -> None:
        try:
            self.close()
        except Exception:  # each event's error was told to on_error
            pass

    def _run(self) -> None:
        while batch := self._take():
            self._send(batch)
            with self._changed:
                self._done += len(batch)
                self._changed.notify_all()

    def _take(self) -> List[Tuple[Event, bytes]]:
        """Wait for a batch; an empty one is the end."""
        with self._changed:
            while not (self._closed or (self._queue and (self._taken < self._wanted or len(self._queue) >= self._size))):
                left = self._due - time.monotonic() if self._queue else None
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
            batch: List[Tuple[Event, bytes]] = []
            size = 0
            while self._queue and len(batch) < self._size:
                size += len(self._queue[0][1])
                if batch and size > _LARGEST_BODY:
                    break
                batch.append(self._queue.popleft())
            self._taken += len(batch)
            return batch

    def _send(self, batch: List[Tuple[Event, bytes]]) -> None:
        try:
            answer = self._transport.send(
                "POST",
                "/api/v1/events/bulk",
                body=b'{"data":[' + b",".join(body for _, body in batch) + b"]}",
                idempotency_key=str(uuid.uuid4()),
            )
            items = answer["data"]
        except Exception as error:  # whatever it is, the thread goes on and the events are told of
            for event, _ in batch:
                self._failed(error, event)
            return
        for i, (event, _) in enumerate(batch):
            item = items[i] if i < len(items) else {}
            if not item.get("data"):
                self._failed(ProblemError(item.get("status", 0), item.get("error")), event)

    def _failed(self, error: Exception, event: Event) -> None:
        with self._changed:
            self._first_error = self._first_error or error
        try:
            self._options.on_error(error, event)
        except Exception as wrong:  # the caller's own; the next event must be told of all the same
            print(f"whatchanged: on_error: {wrong!r}", file=sys.stderr)


def encode(event: Event) -> bytes:
    return json.dumps(event, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
