from __future__ import annotations

from typing import Any, Optional


class WhatchangedError(Exception):
    """Whatever this client raises of itself."""


class ConnectionFailed(WhatchangedError):
    """The server could not be reached, or did not answer in time."""


class ProblemError(WhatchangedError):
    """The server refused the request (RFC 9457, application/problem+json)."""

    def __init__(self, status: int, body: Any = None, retry_after: Optional[float] = None, request_id: str = "") -> None:
        said = body if isinstance(body, dict) else {}

        def text(name: str) -> str:
            value = said.get(name)
            return value if isinstance(value, str) else ""

        self.status = status  #: the HTTP status; within a batch, that of the one event
        self.title = text("title")
        self.detail = text("detail")  #: what is wrong and what to do about it
        self.reason = text("reason")  #: one snake_case word, for programs
        self.field = text("field")  #: the field to blame, or ""
        self.retry_after = retry_after  #: seconds the server asked to wait, or None
        self.request_id = request_id  #: finds the request in the server's log
        super().__init__(f"{self.detail} ({status} {self.reason})" if self.detail else f"the server answered {status}")
