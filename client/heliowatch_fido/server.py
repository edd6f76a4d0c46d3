"""Which server is asked, and with which key."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit, urlunsplit

from heliowatch_fido.errors import HeliowatchError, NoServerError

_LONGEST_KEY = 8192
_ODD = re.compile(r"[^!-~]")
_keys: dict[str, str | None] = {}
_chosen: str | None = None


def configure(url: str, key: str | None = None) -> None:
    """Name the server that is asked when a search names none, and the key for it.

    A key is sent to the server it was given for, and to no other. Calling it again for another server
    keeps the first one's key for searches that name that server.

    Raises
    ------
    HeliowatchError
        When the address is none, or the key.
    """
    global _chosen
    check_key(key)
    _chosen = normal(url)
    _keys[_chosen] = key


def normal(url: str) -> str:
    """Address without what does not belong: a trailing slash, or the API's path.

    Raises
    ------
    HeliowatchError
        When it is no address, or carries a password that would be shown with it.
    """
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise HeliowatchError(f"{url!r} is no address of a server: write http://HOST:PORT")
    if parts.username or parts.password:
        raise HeliowatchError("give the key by configure(url, key=…), not inside the address")
    path = parts.path.rstrip("/").removesuffix("/api/v1")
    return urlunsplit((parts.scheme, parts.netloc.lower(), path, "", ""))


def check_key(key: str | None) -> None:
    """Refuse what no header can carry, without repeating it: the libraries would.

    Raises
    ------
    HeliowatchError
        Which says what is wrong.
    """
    if not key:
        return
    odd = _ODD.search(key)
    if len(key) > _LONGEST_KEY:
        wrong = f"has more than {_LONGEST_KEY} letters"
    elif odd is None:
        return
    elif odd[0] in "\r\n":
        wrong = "has an end of line in it"
    else:
        wrong = f"has at place {odd.start() + 1} what is no letter of a key"
    raise HeliowatchError(
        f"the key {wrong}: a key is one line of printable ASCII without blanks; look at what was given to "
        "configure(url, key=…) or stands in HELIOWATCH_KEY"
    )


def server_and_key(named: str | None = None) -> tuple[str, str | None]:
    """Address of the server to ask, and its key.

    Raises
    ------
    NoServerError
        When none is named, configured or in the environment.
    """
    from_environment = os.environ.get("HELIOWATCH_SERVER")
    word = named or _chosen or from_environment
    if not word:
        raise NoServerError
    url = normal(word)
    if url in _keys:
        return url, _keys[url]
    if from_environment and normal(from_environment) != url:
        return url, None
    return url, os.environ.get("HELIOWATCH_KEY") or None
