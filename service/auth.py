"""Who asks, and whether they may.

A route says what it needs: ``Depends(requires(Scope.WRITE))``. Who shows a key is taken by its word
alone: a key that is none, or no longer, is refused even where nobody needs one. Who shows none may read
where reading is open, and write where `ServiceSettings.open_writing` lets them.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection

from observatory.access import Scope as Scope
from observatory.settings import Settings
from service.context import Context, Here
from service.identity import Identity as Identity
from service.identity import Refusal
from service.problems import ProblemError

REMEMBERED = "heliowatch.identity"
"""Where a request keeps who asks: an `Identity`, or why there is none."""
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
"""Methods that change something."""
_ASKED_BY_FORM = frozenset({"/vo/sia2"})  # DALI 1.1, section 2: a query may come as a form
_BEARER = HTTPBearer(auto_error=False, description="a key of `heliowatch keys create`, or an OIDC token")


class UnauthorisedError(ProblemError):
    """Nobody, or nobody that we know."""

    def __init__(self, detail: str, *, is_invalid: bool, is_page: bool = False) -> None:
        challenge = 'Bearer realm="heliowatch"'
        if is_invalid:
            challenge += ', error="invalid_token"'
        if is_page:  # browsers can ask for a user and a password, and for nothing else
            challenge += ', Basic realm="heliowatch", charset="UTF-8"'
        headers = {"WWW-Authenticate": challenge}
        super().__init__(401, "unauthorised", detail, headers=headers)


class ForbiddenError(ProblemError):
    """Somebody that we know, who may not."""

    def __init__(self, scope: Scope, identity: Identity) -> None:
        has = ", ".join(sorted(identity.scopes)) or "nothing"
        challenge = f'Bearer realm="heliowatch", error="insufficient_scope", scope="{scope.value}"'
        super().__init__(
            403,
            "missing-scope",
            f"this needs the scope {scope.value}; {identity.name} has {has}",
            headers={"WWW-Authenticate": challenge},
        )


class CrossOriginError(ProblemError):
    """A page of another origin that lets a browser write here."""

    def __init__(self) -> None:
        super().__init__(
            403,
            "cross-origin",
            "pages of another origin may not write here; a program sends a key as Authorization: Bearer",
        )


def requires(scope: Scope) -> Callable[..., Awaitable[Identity]]:
    """Make the dependency of a route that needs ``scope``; it gives who asks.

    Raises
    ------
    UnauthorisedError
        When a key is wrong, or there is none and one is needed.
    ForbiddenError
        When the key has not the scope.
    """

    async def check(request: Request, here: Here) -> Identity:
        return await _admit(request, here, scope)

    async def check_key(
        request: Request,
        here: Here,
        _: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
    ) -> Identity:
        return await _admit(request, here, scope)

    # Reading may be open, so that its routes are not described as those that need a key.
    return check if scope is Scope.READ else check_key


async def guard(request: Request, here: Here) -> Identity:
    """Least that any route of the API needs: ``read`` to ask, ``write`` to change."""
    return await _admit(request, here, Scope.WRITE if is_write(request) else Scope.READ)


def is_write(request: HTTPConnection) -> bool:
    """Whether a request would change something."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    method = request.scope.get("method")
    return method in UNSAFE and not (method == "POST" and path in _ASKED_BY_FORM)


async def _admit(request: Request, here: Context, scope: Scope) -> Identity:
    identity = await identify(request, here)
    if identity.may(scope):
        return identity
    if identity.is_known:
        raise ForbiddenError(scope, identity)
    is_page = "text/html" in request.headers.get("accept", "")
    how = f"this needs a key with the scope {scope.value}: send it as Authorization: Bearer KEY"
    raise UnauthorisedError(f"{how}; `heliowatch keys create` makes one", is_invalid=False, is_page=is_page)


async def identify(request: HTTPConnection, here: Context) -> Identity:
    """Who asks; found once a request.

    Raises
    ------
    UnauthorisedError
        When what was shown is no key of ours, or no longer one.
    CrossOriginError
    """
    known = request.scope.get(REMEMBERED)
    if known is None:
        try:
            known = await _find(request, here)
        except ProblemError as error:
            known = error
        request.scope[REMEMBERED] = known
    if isinstance(known, ProblemError):
        raise known
    return known


async def _find(request: HTTPConnection, here: Context) -> Identity:
    header = request.headers.get("authorization")
    scheme, _, word = (header or "").partition(" ")
    # Browsers add what they know of a user by themselves, but never a bearer token.
    if is_write(request) and scheme.lower() != "bearer" and is_cross_origin(request):
        raise CrossOriginError
    if header is None:
        return await _nobody(request, here)
    is_page = "text/html" in request.headers.get("accept", "")
    shown = word.strip() if scheme.lower() == "bearer" else _from_basic(scheme, word)
    if not shown:
        detail = "the Authorization header has no key: write Authorization: Bearer KEY"
        raise UnauthorisedError(detail, is_invalid=True, is_page=is_page)
    found = await here.keyring.identify(shown)
    if isinstance(found, Refusal):
        raise UnauthorisedError(found.detail, is_invalid=True, is_page=is_page)
    if here.settings.service.open_reading:  # a key takes nothing away
        return replace(found, scopes=found.scopes | {Scope.READ})
    return found


def _from_basic(scheme: str, word: str) -> str:
    """A key given as a password (or as a user, alone): tools of others often know nothing else."""
    if scheme.lower() != "basic":
        return ""
    try:
        user, _, password = base64.b64decode(word.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return password or user


async def _nobody(request: HTTPConnection, here: Context) -> Identity:
    service = here.settings.service
    scopes = {Scope.READ} if service.open_reading else set()
    name = "anonymous"
    if service.open_writing:
        scopes.add(Scope.WRITE)
    elif (
        service.open_writing is None
        and is_at_home(request, here.settings)
        and not await here.keyring.is_any()
    ):
        scopes.add(Scope.WRITE)
        name = "local"
    return Identity(name=name, scopes=frozenset(scopes))


def is_at_home(request: HTTPConnection, settings: Settings) -> bool:
    """Whether a program of this machine asks a service that only this machine reaches.

    A proxy beside us would make everybody one of this machine: what it says of itself tells, and so does
    the name by which it was asked. The name is looked at for another reason, too: a page may let its own
    name lead here, and is then of no other origin.
    """
    client = request.client.host if request.client else ""
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    return (
        settings.is_embedded
        and _is_loopback(settings.service.host)
        and _is_loopback(client)
        and _is_loopback(host)
        and not any(name in request.headers for name in _FORWARDED)
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_cross_origin(request: HTTPConnection) -> bool:
    """Whether a browser says that a page of another origin made it ask."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()
