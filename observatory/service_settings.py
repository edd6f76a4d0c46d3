"""Settings of the service: where it answers, to whom, and who offers the data; part of `observatory.settings`."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import BaseModel, Field, field_validator

_Rate = Annotated[str, Field(pattern=r"^[1-9]\d{0,8}/(second|minute|hour|day)$")]


class OidcSettings(BaseModel, extra="forbid"):
    """The provider whose tokens count beside our own keys."""

    issuer: str = Field(
        pattern=r"^(https://|http://(localhost|127\.0\.0\.1)[:/])", description="its address, as in `iss`"
    )
    audience: str = Field(min_length=1, description="what its tokens must name as `aud`")
    jwks_uri: str = Field(
        default="",
        pattern=r"^(|https://.*|http://(localhost|127\.0\.0\.1)[:/].*)$",
        description="where its public keys are; empty: as its discovery document says",
    )
    scope_claim: str = Field(default="scope", description="claim that says what one may: words or a list")
    name_claim: str = Field(default="preferred_username", description="claim that names the person")
    scopes: dict[str, Literal["read", "write", "admin"]] = Field(
        default={
            "heliowatch:read": "read",
            "heliowatch:write": "write",
            "heliowatch:admin": "admin",
        },
        description="words of that claim, and what each allows here",
    )


class RateLimitSettings(BaseModel, extra="forbid"):
    """How often one key, or without one a network address, may ask; such as 600/minute."""

    read: _Rate = "12000/minute"
    write: _Rate = "1200/minute"
    refused: _Rate = Field(default="60/minute", description="wrong keys from one address")
    storage: str = Field(
        default="memory://",
        pattern=r"^(memory|rediss?|redis\+unix)://",
        description="where it is counted; a Redis (redis://…) when several service processes share the work",
    )


class ServiceSettings(BaseModel, extra="forbid"):
    """Where the API and the pages answer."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    max_listeners: int = Field(default=2000, ge=1, description="open event streams at once")
    worker_silence_s: float = Field(default=60.0, gt=0, description="readiness needs a younger heartbeat")
    serve_originals: bool = Field(
        default=True, description="give out the files that frames came in, from where they lie"
    )
    open_reading: bool = Field(default=True, description="whether reading needs no key")
    open_writing: bool | None = Field(
        default=None,
        description="whether writing needs no key; empty: only from this machine, to a service that only "
        "this machine reaches and that has its queue inside, until the first key is made",
    )
    proxies: list[str] = Field(
        default_factory=list,
        description="addresses or networks of the proxies before us, whose X-Forwarded-For is believed",
    )
    oidc: OidcSettings | None = Field(default=None, description="an OpenID provider, if there is one")
    rate_limits: RateLimitSettings = Field(default_factory=RateLimitSettings)
    max_body_bytes: int = Field(default=1 << 20, gt=0, description="of a request that uploads no file")
    max_uploads: int = Field(default=8, ge=1, description="files that arrive at once")
    body_patience_s: float = Field(
        default=30.0, gt=0, description="patience with a body, besides one second for every 8 KiB of it"
    )
    header_patience_s: float = Field(default=10.0, gt=0, description="patience with a request's head")
    reader_patience_s: float = Field(
        default=60.0, gt=0, description="patience with a client that reads nothing of its answer"
    )
    listener_patience_s: float = Field(
        default=10.0, gt=0, description="patience with an event stream that is not read"
    )
    query_patience_s: float = Field(
        default=30.0, gt=0, description="longest that Postgres works on one question of a client"
    )

    @field_validator("proxies")
    @classmethod
    def _are_networks(cls, value: list[str]) -> list[str]:
        for word in value:
            ipaddress.ip_network(word, strict=False)
        return value


class PublisherSettings(BaseModel, extra="forbid"):
    """Who offers the data, as HAPI and the Virtual Observatory tell it."""

    authority: str = Field(
        default="heliowatch",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.!~*'()+=-]{2,}$",
        description="first part of IVOA identifiers (ivo://…); one of your own once it is registered",
    )
    title: str = Field(default="Heliowatch", min_length=1, max_length=200)
    contact: str = Field(
        default="the operator of this server", min_length=1, description="name or address for questions"
    )
    url: str = Field(
        default="",
        pattern=r"^(https?://[^\s/?#]+(/[^\s?#]*)?)?$",
        description="address of the service as the world sees it; empty: as it was asked for",
    )
