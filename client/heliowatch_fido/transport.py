"""Asking a server: JSON, pages and bytes, with bounded patience."""

from __future__ import annotations

import email.utils
import http.client
import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from heliowatch_fido.errors import RefusedError, UnreachableError
from heliowatch_fido.server import check_key

API = "/api/v1"
_AGENT = "heliowatch-fido/0.1"
_BUSY = (429, 502, 503, 504)
_LONGEST_WAIT_S = 60.0
_BIGGEST_PROBLEM = 1 << 20


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects of the server to itself, with the key; to others not at all."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        if urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            raise UnreachableError(req.full_url, f"it points to another server: {newurl}")
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and "Authorization" in req.unredirected_hdrs:
            request.add_unredirected_header("Authorization", req.unredirected_hdrs["Authorization"])
        return request


class Connection:
    """One server.

    Parameters
    ----------
    url : str
        Its address, without the API's path.
    key : str or None
        Sent to this server alone.
    timeout_s : float
        Silence that counts as failure.
    tries : int
        How often a request is made at most, when the server is busy or away.
    backoff_s : float
        First pause; doubles each time. A ``Retry-After`` of the server goes before it.

    Raises
    ------
    HeliowatchError
        When the key is none.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = 30.0,
        tries: int = 5,
        backoff_s: float = 0.5,
    ) -> None:
        check_key(key)
        self.url = url
        self.key = key
        self.timeout_s = timeout_s
        self._tries = tries
        self._backoff_s = backoff_s
        self._opener = urllib.request.build_opener(_Redirects)

    def address(self, path: str, parameters: Mapping[str, Any] | None = None) -> str:
        """Full address of a path below the API, or of one that the server gave.

        Raises
        ------
        UnreachableError
            When the server gave one of another server.
        ValueError
            When a parameter has several values.
        """
        full = urljoin(self.url + "/", path if "://" in path else self._rooted(path))
        if urlsplit(full)[:2] != urlsplit(self.url)[:2]:
            raise UnreachableError(self.url, f"it points to another server: {full}")
        given = {name: value for name, value in (parameters or {}).items() if value is not None}
        for name, value in given.items():
            if isinstance(value, Iterable) and not isinstance(value, str):
                raise ValueError(f"{name} takes one value, not {value!r}: ask once for each")
        return f"{full}?{urlencode(given)}" if given else full

    def _rooted(self, path: str) -> str:
        return path if path.startswith("/") else f"{urlsplit(self.url).path}{API}/{path}"

    def open(
        self,
        path: str,
        parameters: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HTTPResponse:
        """Ask, again and again while the server is busy; the answer is open and must be closed.

        Raises
        ------
        RefusedError
            When the server says no; it carries the server's words.
        UnreachableError
            When it does not answer after all tries.
        """
        request = urllib.request.Request(self.address(path, parameters))
        for name, value in {"User-Agent": _AGENT, **(headers or {})}.items():
            request.add_header(name, value)
        if self.key:
            request.add_unredirected_header("Authorization", f"Bearer {self.key}")
        for attempt in range(1, self._tries + 1):
            try:
                return self._opener.open(request, timeout=self.timeout_s)
            except urllib.error.HTTPError as error:
                with error:
                    if error.code not in _BUSY or attempt == self._tries:
                        raise _refused(error) from None
                    pause_s = _asked_pause_s(error.headers.get("Retry-After"))
            except (OSError, http.client.HTTPException) as error:
                if attempt == self._tries:
                    why = getattr(error, "reason", None) or error
                    raise UnreachableError(self.url, str(why) or type(error).__name__) from error
                pause_s = None
            time.sleep(self._pause_s(attempt) if pause_s is None else pause_s)
        raise AssertionError("unreachable")

    def _pause_s(self, attempt: int) -> float:
        longest = min(self._backoff_s * 2 ** (attempt - 1), _LONGEST_WAIT_S)
        return longest * random.uniform(0.5, 1.0)  # many clients must not come back at one moment

    def json(self, path: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Answer of one request."""
        with self.open(path, parameters, {"Accept": "application/json"}) as answer:
            try:
                return json.load(answer)
            except (ValueError, OSError, http.client.HTTPException) as error:
                raise UnreachableError(answer.url, f"its answer is no whole JSON ({error})") from error

    def items(self, path: str, parameters: Mapping[str, Any], limit: int | None) -> Iterator[dict[str, Any]]:
        """Items of a list, page after page, ``limit`` at most (None: all).

        Raises
        ------
        ValueError
            When the limit is below 0.
        """
        if limit is not None and limit < 0:
            raise ValueError(f"limit={limit}: give 0 or more, or None for all")
        left = limit
        page_size = 1000 if left is None else max(1, min(left, 1000))
        page = self.json(path, {**parameters, "limit": page_size})
        while True:
            if not isinstance(page, dict) or not isinstance(page.get("items"), list):
                raise UnreachableError(self.url, "its answer is no list: is it a Heliowatch server?")
            yield from page["items"][:left]
            left = None if left is None else left - len(page["items"])
            if not page.get("next") or (left is not None and left <= 0):
                return
            page = self.json(page["next"])


def _asked_pause_s(word: str | None) -> float | None:
    """Seconds that the server asks us to wait, within reason; None when it asks nothing."""
    if not word:
        return None
    try:
        pause_s = float(word)
    except ValueError:
        try:
            pause_s = email.utils.parsedate_to_datetime(word).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(pause_s, 0.0), _LONGEST_WAIT_S)


def _refused(error: urllib.error.HTTPError) -> RefusedError:
    """What the server said, from its problem document when it sent one."""
    try:
        said = json.loads(error.read(_BIGGEST_PROBLEM))
        kind = str(said.get("type", "")).rpartition(":")[2]
        return RefusedError(error.code, kind, str(said["detail"]), said.get("errors") or ())
    except (ValueError, KeyError, AttributeError, OSError, http.client.HTTPException):
        return RefusedError(error.code, "", f"{error.reason or 'the server refused'}")
