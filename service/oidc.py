"""Tokens of an OpenID provider, for people who have a name already: signed, ours, and not over.

A token cannot be taken back before it ends: let the provider give short ones. The provider's public keys
are fetched when they are first needed, kept for a while, and fetched again when a token names another.
"""

from __future__ import annotations

import asyncio
import base64
import time
from datetime import UTC, datetime
from typing import Any

import httpx2
import orjson
import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from observatory.access import Scope, with_implied
from observatory.service_settings import OidcSettings
from service.identity import Identity, Refusal

_log = structlog.get_logger()

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_LEEWAY_S = 30
_KEPT_S = 600.0
_AGAIN_S = 30.0  # between two fetches, however many unknown keys are named
_TIMEOUT_S = 5.0
_MOST_BYTES = 256 << 10
_NEEDED: jwt.ClaimsOption = {"essential": True}


class ProviderUnavailableError(Exception):
    """The provider's keys cannot be had."""


class Provider:
    """Checks the tokens of one provider."""

    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings
        self._keys: KeySet | None = None
        self._ids: frozenset[str] = frozenset()
        self._fetched_at = -_KEPT_S
        self._tried_at = -_AGAIN_S
        self._lock = asyncio.Lock()
        self._claims = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": settings.issuer},
            aud={"essential": True, "value": settings.audience},
            exp=_NEEDED,
            sub=_NEEDED,
        )

    async def identify(self, token: str) -> Identity | Refusal:
        """Who shows a token."""
        try:
            decoded = jwt.decode(token, await self._keys_for(token), algorithms=_ALGORITHMS)
            self._claims.validate(decoded.claims)
            return self._identity(decoded.claims)
        except ProviderUnavailableError as error:
            _log.warning("oidc_keys_not_had", issuer=self._settings.issuer, error=str(error))
            return Refusal("the token cannot be checked now: the provider's keys cannot be had")
        except JoseError as error:
            return Refusal(f"the token is not valid: {error.error}")
        except (ValueError, TypeError, KeyError, OverflowError):
            return Refusal("the token is not valid: malformed")

    def _identity(self, claims: dict[str, Any]) -> Identity:
        said = claims.get(self._settings.scope_claim, [])
        words = said.split() if isinstance(said, str) else [word for word in said if isinstance(word, str)]
        scopes = {Scope(self._settings.scopes[word]) for word in words if word in self._settings.scopes}
        name = claims.get(self._settings.name_claim) or claims["sub"]
        return Identity(
            name=str(name)[:128],
            scopes=with_implied(scopes),
            expires_at=datetime.fromtimestamp(claims["exp"] + _LEEWAY_S, UTC),
        )

    async def _keys_for(self, token: str) -> KeySet:
        named = _key_id(token)
        async with self._lock:
            now = time.monotonic()
            is_fresh = now - self._fetched_at < _KEPT_S and (named is None or named in self._ids)
            if not is_fresh and now - self._tried_at >= _AGAIN_S:
                self._tried_at = now
                try:
                    await self._fetch()
                except (httpx2.HTTPError, TimeoutError, ValueError, KeyError, TypeError, JoseError) as error:
                    if self._keys is None:
                        raise ProviderUnavailableError(f"{type(error).__name__}: {error}") from error
                    _log.warning("oidc_keys_not_renewed", error=type(error).__name__)
        if self._keys is None:
            raise ProviderUnavailableError("fetched a moment ago in vain")
        return self._keys

    async def _fetch(self) -> None:
        async with httpx2.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False) as client:
            address = self._settings.jwks_uri
            if not address:
                issuer = self._settings.issuer.rstrip("/")
                about = await _get(client, f"{issuer}/.well-known/openid-configuration")
                if about["issuer"] != self._settings.issuer:
                    raise ValueError("the provider calls itself something else")
                address = str(about["jwks_uri"])
            found = await _get(client, address)
        public = [key for key in found["keys"] if key.get("use", "sig") == "sig" and key.get("kty") != "oct"]
        self._keys = KeySet.import_key_set({"keys": public})
        self._ids = frozenset(str(key["kid"]) for key in public if "kid" in key)
        self._fetched_at = time.monotonic()


async def _get(client: httpx2.AsyncClient, address: str) -> dict[str, Any]:
    """Fetch a JSON object of bounded size in bounded time."""
    async with asyncio.timeout(_TIMEOUT_S), client.stream("GET", address) as answer:
        answer.raise_for_status()
        body = b""
        async for piece in answer.aiter_bytes():
            body += piece
            if len(body) > _MOST_BYTES:
                raise ValueError(f"{address} answers with more than {_MOST_BYTES} bytes")
    found = orjson.loads(body)
    if not isinstance(found, dict):
        raise ValueError(f"{address} answers with no JSON object")
    return found


def _key_id(token: str) -> str | None:
    """The key that a token says it is signed with."""
    head = token.partition(".")[0]
    found = orjson.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    named = found.get("kid") if isinstance(found, dict) else None
    return named if isinstance(named, str) else None
