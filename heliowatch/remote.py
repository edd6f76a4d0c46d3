"""Asking a server over REST from the shell: pages, streams, patience with bounds, its own words on refusal."""

from __future__ import annotations

import email.utils
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from observatory import __version__
from observatory.errors import HeliowatchError, SettingsError
from observatory.settings import Settings

API = "/api/v1"
_BUSY = (429, 502, 503, 504)
_LONGEST_WAIT_S = 60.0
_LONGEST_KEY = 8192
_ODD = re.compile(r"[^!-~]")
_TIMEOUT = httpx2.Timeout(60.0, connect=10.0)


class ServerUnreachableError(HeliowatchError):
    """The server does not answer, or breaks off."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(
            f"{url} does not answer as it should: {why}; name the server with --server or HELIOWATCH_SERVER"
        )


class ServerRefusedError(HeliowatchError):
    """The server said no; `status` is its HTTP status, the message its own words."""

    def __init__(self, status: int, detail: str, allowed: Mapping[str, str] | None = None) -> None:
        words = [f"{name} may be: {word}" for name, word in (allowed or {}).items()]
        super().__init__("; ".join([f"{detail} ({status})", *words]))
        self.status = status


class Server:
    """A Heliowatch server.

    Parameters
    ----------
    url : str
        Its address, without the API's path.
    key : str or None
        Shown to it alone.
    tries : int
        How often a request is made at most while it is busy (429, 503) or away.
    pause : callable
        Waits so many seconds.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        tries: int = 5,
        backoff_s: float = 0.5,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = _address(url)
        self._tries, self._backoff_s, self._pause = tries, backoff_s, pause
        headers = {"User-Agent": f"heliowatch/{__version__}"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        self._client = httpx2.Client(headers=headers, timeout=_TIMEOUT)  # follows no redirect by itself

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    @contextmanager
    def stream(self, path: str, parameters: Mapping[str, Any] | None = None) -> Iterator[httpx2.Response]:
        """Ask, again while the server is busy; the answer's body is read as it comes.

        Parameters
        ----------
        path : str
            Below the API, or an address that the server gave (a page that follows).

        Raises
        ------
        ServerRefusedError
        ServerUnreachableError
            Also when the answer breaks off.
        """
        address = self._join(path)
        given = {name: value for name, value in (parameters or {}).items() if value is not None} or None
        for attempt in range(1, self._tries + 1):
            try:
                with self._client.stream("GET", address, params=given) as answer:
                    if answer.status_code not in _BUSY or attempt == self._tries:
                        _raise_for(answer)
                        yield answer
                        return
                    pause_s = _asked_pause_s(answer.headers.get("Retry-After"))
            except httpx2.ConnectError as error:
                if attempt == self._tries:
                    raise ServerUnreachableError(self.url, str(error)) from error
                pause_s = None
            except httpx2.HTTPError as error:
                raise ServerUnreachableError(self.url, str(error) or type(error).__name__) from error
            longest_s = min(self._backoff_s * 2 ** (attempt - 1), _LONGEST_WAIT_S)
            self._pause(longest_s * random.uniform(0.5, 1.0) if pause_s is None else pause_s)

    def json(self, path: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Whole answer of one request."""
        with self.stream(path, parameters) as answer:
            answer.read()
            try:
                return answer.json()
            except ValueError as error:
                raise ServerUnreachableError(
                    self.url, "its answer is no JSON: is it a Heliowatch server?"
                ) from error

    def _join(self, path: str) -> httpx2.URL:
        full = httpx2.URL(self.url + API + "/").join(path)
        if (full.scheme, full.netloc) != (httpx2.URL(self.url).scheme, httpx2.URL(self.url).netloc):
            raise ServerUnreachableError(self.url, f"it points to another server: {full}")
        return full


def server_of(settings: Settings, named: str | None = None, key_file: Path | None = None) -> Server:
    """The server that the user means, with the key for it.

    The key of the settings belongs to the server of the settings: another one that is named does not see it.

    Raises
    ------
    SettingsError
        When the address is none, the key file cannot be read, or the key is none.
    """
    usual = settings.server or f"http://{_host(settings.service.host)}:{settings.service.port}"
    key = settings.key.get_secret_value() if settings.key is not None else None
    whence = "HELIOWATCH_KEY (key of the settings)"
    if named and settings.server and _address(named) != _address(settings.server):
        key = None
    if key_file is not None:
        key, whence = _key_in(key_file), f"--key-file {key_file}"
    if key:
        _check_key(key, whence)
    return Server(named or usual, key)


def _key_in(path: Path) -> str:
    """What a file holds, without the end of its line.

    Raises
    ------
    SettingsError
        When it cannot be read, or holds nothing.
    """
    try:
        with path.open("rb") as file:
            found = file.read(2 * _LONGEST_KEY).strip()
    except OSError as error:
        raise SettingsError(f"--key-file {path}: {error.strerror}") from error
    if not found:
        raise SettingsError(f"--key-file {path}: is empty; it is to hold a key")
    return found.decode("utf-8", "replace")


def _check_key(key: str, whence: str) -> None:
    """Refuse what no header can carry, without repeating it: the libraries would.

    Raises
    ------
    SettingsError
        Which says what is wrong.
    """
    odd = _ODD.search(key)
    if len(key) > _LONGEST_KEY:
        wrong = f"has more than {_LONGEST_KEY} letters"
    elif odd is None:
        return
    elif odd[0] in "\r\n":
        wrong = "has more than one line"
    else:
        wrong = f"has at place {odd.start() + 1} what is no letter of a key"
    raise SettingsError(f"{whence}: {wrong}; a key is one line of printable ASCII without blanks")


def _host(host: str) -> str:
    """Where a service that listens at an address is asked from the same machine."""
    if host in ("0.0.0.0", "::", ""):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _address(url: str) -> str:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise SettingsError(f"--server {url!r} is no address: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise SettingsError(f"--server {url!r} is no address of a server: write http://HOST:PORT")
    if parsed.userinfo:
        raise SettingsError("--server: give the key by HELIOWATCH_KEY or --key-file, not inside the address")
    return str(parsed.copy_with(query=None, fragment=None)).rstrip("/").removesuffix(API)


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


def _raise_for(answer: httpx2.Response) -> None:
    if answer.is_success:
        return
    if answer.is_redirect:
        raise ServerUnreachableError(
            str(answer.url), f"it points elsewhere: {answer.headers.get('Location')}"
        )
    answer.read()
    try:
        said = answer.json()
        errors = said.get("errors") or ()
        allowed = {one["parameter"]: one["allowed"] for one in errors if one.get("allowed")}
        raise ServerRefusedError(answer.status_code, str(said["detail"]), allowed)
    except (ValueError, KeyError, AttributeError, TypeError):
        raise ServerRefusedError(answer.status_code, f"{answer.url} said {answer.reason_phrase}") from None
