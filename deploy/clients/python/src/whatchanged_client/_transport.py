from __future__ import annotations

import email.utils
import http.client
import json
import random
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime, timezone
from typing import Any, Mapping, Optional

from ._errors import ConnectionFailed, ProblemError, WhatchangedError

_LONGEST_WAIT = 60.0  # a server that asks for more is not waited for
_LARGEST_ANSWER = 64 << 20
_AGAIN = frozenset((429, 502, 503, 504))


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET, and the key with somebody else."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Transport:
    """Sends requests, again when that may help.

    Every request of this client is either a read or carries an
    Idempotency-Key, so sending again is always safe.
    """

    def __init__(self, api_key: str, base_url: str, timeout: float, tries: int) -> None:
        url = urllib.parse.urlsplit(base_url)
        if url.scheme not in ("http", "https") or not url.netloc:
            raise WhatchangedError("base_url is not the URL of a server: want http(s)://host[:port]")
        if not isinstance(api_key, str) or not api_key or not all("!" <= c <= "~" for c in api_key):
            raise WhatchangedError("api_key is missing, or has other characters than a key has")
        self.base = base_url.rstrip("/")
        self._api_key = api_key
        self._timeout = timeout
        self._tries = max(1, tries)
        self._opener = urllib.request.build_opener(_NoRedirects)

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Optional[Mapping[str, Any]] = None,
        body: Optional[bytes] = None,
        idempotency_key: Optional[str] = None,
    ) -> Any:
        """Send one request; body is JSON that is already written, so that whatever is sent again is the same to the byte."""
        url = self.base + path
        asked = {name: as_text(value) for name, value in (query or {}).items() if value is not None}
        if asked:
            url += "?" + urllib.parse.urlencode(asked)
        headers = {"Authorization": "Bearer " + self._api_key, "Accept": "application/json", "User-Agent": "whatchanged-python"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        tried = 0
        while True:
            tried += 1
            try:
                return self._once(urllib.request.Request(url, data=body, headers=headers, method=method), path)
            except (ConnectionFailed, ProblemError) as error:
                wait = None
                if isinstance(error, ProblemError):
                    if error.status not in _AGAIN:
                        raise
                    wait = error.retry_after
                if tried >= self._tries or (wait or 0) > _LONGEST_WAIT:
                    raise
                time.sleep(_backoff(tried) if wait is None else wait)

    def _once(self, request: urllib.request.Request, path: str) -> Any:
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                text = answer.read(_LARGEST_ANSWER + 1)
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise ProblemError(
                    refusal.code, _json(refusal), _retry_after(refusal.headers.get("Retry-After")), refusal.headers.get("X-Request-Id") or ""
                ) from None
        except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
            why = error.reason if isinstance(error, urllib.error.URLError) else error
            raise ConnectionFailed(f"{request.get_method()} {self.base}{path}: {why or type(error).__name__}") from error
        try:
            return json.loads(text)
        except ValueError:
            raise WhatchangedError(f"{self.base} does not answer as this API does") from None


def as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return timestamp(value) if isinstance(value, datetime) else str(value)


def timestamp(value: datetime) -> str:
    """Write a time as the API does; one without a zone is in local time, as everywhere in Python."""
    return value.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(refusal: urllib.error.HTTPError) -> Any:
    try:
        return json.loads(refusal.read(1 << 20))
    except (OSError, ValueError, http.client.HTTPException):
        return None  # a proxy's page, perhaps


def _retry_after(value: Optional[str]) -> Optional[float]:
    if not value:
        return None
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _backoff(tried: int) -> float:
    """Doubles from 0.2 s to 10 s, half of it to chance: callers who failed together do not come back together."""
    return min(10.0, 0.2 * 2 ** (tried - 1)) * random.uniform(0.5, 1.5)
