"""Tokens of an OpenID provider, which here is a small one of our own that signs real ones."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from observatory.errors import SettingsError
from observatory.service_settings import OidcSettings
from observatory.settings import Settings, load_settings
from observatory.storage.session import Database
from service.main import create_app
from tests.service.access import bearer, with_service
from tests.service.telescope import Telescope, on_sqlite


@dataclass
class StandIn:
    """A provider: discovery, public keys, tokens."""

    address: str = ""
    keys: list[Any] = field(default_factory=lambda: [RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})])
    asked: list[str] = field(default_factory=list)
    padding: str = ""

    def answer(self, path: str) -> dict[str, Any]:
        self.asked.append(path)
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.address, "jwks_uri": f"{self.address}/keys", "padding": self.padding}
        return KeySet(self.keys).as_dict(private=False)

    def token(self, key: Any = None, algorithm: str = "RS256", **claims: Any) -> str:
        key = key or self.keys[0]
        said = {
            "iss": self.address,
            "aud": "heliowatch",
            "sub": "u-17",
            "preferred_username": "astrid",
            "exp": int(time.time()) + 300,
            "scope": "openid heliowatch:write",
        } | claims
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode({"alg": algorithm, "kid": key.kid}, said, key, algorithms=[algorithm])


@pytest.fixture(scope="module")
def served() -> Iterator[StandIn]:
    provider = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(provider.answer(self.path)).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield provider
    server.shutdown()


@pytest.fixture
def provider(served: StandIn) -> StandIn:
    served.keys, served.padding, served.asked = served.keys[:1], "", []
    return served


@pytest.fixture
def client(settings: Settings, db: Database, provider: StandIn) -> Iterator[TestClient]:
    oidc = OidcSettings(issuer=provider.address, audience="heliowatch")
    with TestClient(create_app(with_service(settings, oidc=oidc), db)) as open_client:
        yield open_client


@on_sqlite
def test_a_token_opens_what_its_scopes_are_mapped_to(
    client: TestClient, provider: StandIn, telescope: Telescope
) -> None:
    path = f"/api/v1/frames/{telescope.observe()}/mark"
    for _ in range(3):
        answer = client.put(path, json={"mark": "bad"}, headers=bearer(provider.token()))
        assert answer.status_code == 200, answer.text
    assert answer.json()["author"] == "astrid"
    assert provider.asked == ["/.well-known/openid-configuration", "/keys"]
    listed = provider.token(scope=["heliowatch:write"], preferred_username=None)
    assert client.put(path, json={"mark": "bad"}, headers=bearer(listed)).json()["author"] == "u-17"
    for scope in ("openid", "heliowatch:read", None, ["x", 1]):
        token = provider.token(scope=scope)
        assert client.put(path, json={"mark": "bad"}, headers=bearer(token)).status_code == 403
    admin = bearer(provider.token(scope="heliowatch:admin"))
    assert client.get("/api/v1/audit", headers=admin).json()["items"][-1]["actor"] == "astrid"


@on_sqlite
def test_a_token_that_is_not_ours_is_refused(client: TestClient, provider: StandIn) -> None:
    now = int(time.time())
    other = RSAKey.generate_key(2048, {"kid": "one"})
    shared = OctKey.generate_key(256, {"kid": "one"})
    good = provider.token()
    head, body, signature = good.split(".")
    unsigned = "eyJhbGciOiJub25lIn0." + body + "."
    tokens = {
        "over": provider.token(exp=now - 60),
        "without end": provider.token(exp=None),
        "of a strange end": provider.token(exp="soon"),
        "of tomorrow": provider.token(nbf=now + 3600),
        "of another issuer": provider.token(iss="http://evil.example"),
        "for another": provider.token(aud="grafana"),
        "for nobody": provider.token(aud=None),
        "of nobody": provider.token(sub=None),
        "signed by another": provider.token(other),
        "signed with a shared secret": provider.token(shared, "HS256"),
        "unsigned": unsigned,
        "altered": f"{head}.{body[:-4]}AAAA.{signature}",
        "cut": good[:-10],
        "empty": "..",
        "garbage": "é.ü.ß",
        "long": f"{head}.{'A' * 9000}.{signature}",
    }
    for what, token in tokens.items():
        answer = client.get("/api/v1/frames", headers={"Authorization": f"Bearer {token}".encode()})
        assert answer.status_code == 401, what
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        assert token not in answer.text or len(token) < 5
    assert len(provider.asked) == 2  # whatever is named, the provider is not asked again at once


@on_sqlite
def test_a_new_key_of_the_provider_is_fetched(
    client: TestClient, provider: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.oidc._AGAIN_S", 0.0)
    assert client.get("/api/v1/frames", headers=bearer(provider.token())).status_code == 200
    new = ECKey.generate_key("P-256", {"kid": "two"})
    provider.keys = [*provider.keys, new]
    assert client.get("/api/v1/frames", headers=bearer(provider.token(new, "ES256"))).status_code == 200


@on_sqlite
def test_a_provider_that_is_away_or_talks_without_end_lets_nobody_in(
    settings: Settings, db: Database, provider: StandIn
) -> None:
    token = provider.token()
    provider.padding = "x" * 300_000
    for issuer in (provider.address, "http://127.0.0.1:1", f"{provider.address}/other"):
        oidc = OidcSettings(issuer=issuer, audience="heliowatch")
        with TestClient(create_app(with_service(settings, oidc=oidc), db)) as client:
            answer = client.get("/api/v1/frames", headers=bearer(token))
            assert answer.status_code == 401 and "cannot be had" in answer.json()["detail"]
            assert client.get("/api/v1/frames").status_code == 200


@pytest.mark.usefixtures("settings")
def test_a_provider_without_encryption_is_refused_in_the_settings() -> None:
    with pytest.raises(SettingsError, match=r"oidc\.issuer"):
        load_settings(service={"oidc": {"issuer": "http://login.example", "audience": "x"}})
    with pytest.raises(SettingsError, match="audience"):
        load_settings(service={"oidc": {"issuer": "https://login.example"}})
