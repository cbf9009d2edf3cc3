from __future__ import annotations

import uuid
from datetime import datetime, timezone
from typing import Any, Dict, Iterator, Mapping, Optional, Union

from ._batch import Batcher, BatchOptions, encode
from ._errors import WhatchangedError
from ._transport import Transport, timestamp

Event = Dict[str, Any]


class ImmutableClient:
    """Tells a server what happened, and asks it what did. It may be shared by threads."""

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str,
        timeout: float = 30.0,
        tries: int = 4,
        batch: Optional[BatchOptions] = None,
    ) -> None:
        """Make a client; it does not connect.

        timeout is how many seconds one try may take, and tries how often a
        request is sent at most. With batch, events are sent together by a
        thread of the client's own; close it then, or use it in a with
        statement. What still waits when the program ends is sent then.
        """
        self._transport = Transport(api_key, base_url, timeout, tries)
        self._batcher = Batcher(self._transport, batch) if batch else None

    def actor(self, id: str, *, name: Optional[str] = None, type: Optional[str] = None) -> Actor:
        """Name who did what is tracked next."""
        if not id:
            raise WhatchangedError("an actor has an id")
        return Actor(self, {"actor_id": id, "actor_name": name, "actor_type": type})

    def track(self, event: Mapping[str, Any], *, idempotency_key: Optional[str] = None) -> Optional[Event]:
        """Record an event in the API's own names; return it as it was recorded.

        The server has it on disk by then. With batching it is only queued, and
        None is returned; but an event with a key of its own goes alone.
        """
        told = {name: value for name, value in event.items() if value is not None}
        if isinstance(told.get("occurred_at"), datetime):
            told["occurred_at"] = timestamp(told["occurred_at"])
        if self._batcher and idempotency_key is None:
            # It happened now, not when the batch is sent.
            told.setdefault("occurred_at", timestamp(datetime.now(timezone.utc)))
            self._batcher.add(told)
            return None
        answer = self._transport.send(
            "POST", "/api/v1/events", body=encode(told), idempotency_key=idempotency_key or str(uuid.uuid4())
        )
        return answer["data"]

    def get_events(self, **filter: Any) -> Dict[str, Any]:
        """List events, newest first: a page, with its "data" and "meta".

        The filters have the API's names: resource_id, actor_id, action,
        start_date, end_date, limit (1 to 100), offset, cursor and so on.
        """
        return self._transport.send("GET", "/api/v1/events", query=filter)

    def all_events(self, **filter: Any) -> Iterator[Event]:
        """Go through every event that matches, page by page."""
        while True:
            page = self.get_events(**filter)
            yield from page["data"]
            cursor = page["meta"].get("next_cursor")
            if not page["meta"]["has_more"] or not cursor:
                return
            filter = {**filter, "offset": None, "cursor": cursor}

    def flush(self) -> None:
        """Send what waits, and return when the server has it; raise the first error since the last flush."""
        if self._batcher:
            self._batcher.flush()

    def close(self) -> None:
        """Flush; whatever is tracked afterwards is refused."""
        if self._batcher:
            self._batcher.close()

    def __enter__(self) -> ImmutableClient:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"ImmutableClient(base_url={self._transport.base!r})"  # never the key


WhatchangedClient = ImmutableClient


class Actor:
    """Somebody, perhaps in a session, who does things. It can be kept and used again."""

    def __init__(self, client: ImmutableClient, who: Event) -> None:
        self._client = client
        self._who = who

    def session(self, id: str) -> Actor:
        """Name the session that what is tracked next is part of."""
        return Actor(self._client, {**self._who, "session_id": id})

    def track(
        self,
        action: str,
        resource: str,
        metadata: Optional[Mapping[str, Any]] = None,
        *,
        resource_id: Optional[str] = None,
        resource_name: Optional[str] = None,
        occurred_at: Union[datetime, str, None] = None,
        idempotency_key: Optional[str] = None,
    ) -> Optional[Event]:
        """Record that the actor did action to a resource: track("config.changed", "service", {"service": "api-gateway"})."""
        event = {
            **self._who,
            "action": action,
            "resource": resource,
            "resource_id": resource_id,
            "resource_name": resource_name,
            "metadata": dict(metadata or {}),
            "occurred_at": occurred_at,
        }
        return self._client.track(event, idempotency_key=idempotency_key)
