"""Settings of notifications: the channels, and how patiently they are tried.

A channel's address often is a secret by itself (a mail password, the token in a webhook's path): it is
kept as one, and can be given as a file in place of the value.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, StringConstraints, field_validator, model_validator

from observatory.errors import SettingsError
from observatory.setting_paths import SettingPath

_LONGEST_SECRET = 16_384

ChannelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class AppriseChannel(BaseModel, extra="forbid"):
    """Mail, Slack, Telegram and a hundred others, by an address as the library Apprise knows them."""

    kind: Literal["apprise"]
    url: SecretStr | None = Field(default=None, description="such as mailtos://user:password@host?to=…")
    url_file: SettingPath | None = Field(
        default=None, description="file that holds the address, in place of url"
    )

    @model_validator(mode="after")
    def _has_one_address(self) -> AppriseChannel:
        _check_one("url", self.url, self.url_file)
        return self

    def address(self) -> str:
        """The address; the file is read anew each time, so that a changed secret counts at once.

        Raises
        ------
        SettingsError
        """
        return _secret(self.url, self.url_file)


class WebhookChannel(BaseModel, extra="forbid"):
    """A receiver of what Alertmanager sends to webhooks (version 4)."""

    kind: Literal["webhook"]
    url: SecretStr | None = Field(default=None, description="http or https address; it may hold a token")
    url_file: SettingPath | None = Field(
        default=None, description="file that holds the address, in place of url"
    )
    bearer_file: SettingPath | None = Field(
        default=None, description="file with a token for Authorization: Bearer"
    )

    @field_validator("url")
    @classmethod
    def _is_web_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_web_address(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _has_one_address(self) -> WebhookChannel:
        _check_one("url", self.url, self.url_file)
        return self

    def address(self) -> str:
        """The address.

        Raises
        ------
        SettingsError
        """
        found = _secret(self.url, self.url_file)
        try:
            check_web_address(found)
        except ValueError as error:
            raise SettingsError(f"the address of a webhook: {error}") from None
        return found

    def bearer(self) -> str | None:
        """The token, if there is one.

        Raises
        ------
        SettingsError
        """
        if self.bearer_file is None:
            return None
        found = _secret(None, self.bearer_file)
        if not found.isascii() or not found.isprintable():
            raise SettingsError(f"{self.bearer_file}: a token is one line of printable ASCII")
        return found


class MqttChannel(BaseModel, extra="forbid"):
    """An MQTT broker; Home Assistant finds each alert there as a binary sensor."""

    kind: Literal["mqtt"]
    host: str = Field(min_length=1, max_length=253)
    port: int = Field(default=1883, ge=1, le=65535)
    tls: bool = Field(default=False, description="encrypt, and check the broker's certificate")
    user: str | None = Field(default=None, max_length=256)
    password: SecretStr | None = Field(default=None)
    password_file: SettingPath | None = Field(
        default=None, description="file that holds it, in place of password"
    )
    prefix: str = Field(default="heliowatch", pattern=r"^[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64}){0,4}$")
    discovery_prefix: str = Field(
        default="homeassistant", pattern=r"^([A-Za-z0-9_-]{1,64})?$", description="empty: tell nobody"
    )

    @model_validator(mode="after")
    def _has_one_password(self) -> MqttChannel:
        if self.password is not None and self.password_file is not None:
            raise ValueError("give either password or password_file")
        return self

    def secret(self) -> str | None:
        """The password, if there is one.

        Raises
        ------
        SettingsError
        """
        if self.password is None and self.password_file is None:
            return None
        return _secret(self.password, self.password_file)


Channel = Annotated[AppriseChannel | WebhookChannel | MqttChannel, Field(discriminator="kind")]


class NotificationSettings(BaseModel, extra="forbid"):
    """Who is told of alerts, and how."""

    channels: dict[ChannelName, Channel] = Field(
        default_factory=dict, description="by the name that rules write into notify"
    )
    group_by: list[str] = Field(
        default=["alertname"], description="labels whose alerts go together, unless the rule says others"
    )
    group_wait_s: float = Field(
        default=10.0, ge=0, le=3600, description="how long the first of a group waits for others"
    )
    group_interval_s: float = Field(
        default=60.0, ge=0, le=86_400, description="least time between two messages of one group"
    )
    send_patience_s: float = Field(default=10.0, gt=0, le=120, description="longest that one sending takes")
    retry_first_s: float = Field(
        default=5.0, gt=0, le=3600, description="pause after the first failure; it doubles each time"
    )
    retry_longest_s: float = Field(default=600.0, gt=0, le=86_400)
    keep_trying_s: float = Field(
        default=3 * 86_400.0, gt=0, description="after which a notification is given up"
    )
    lease_s: float = Field(
        default=30.0, ge=1, le=600, description="silence after which another process takes a sending over"
    )
    poll_s: float = Field(default=1.0, gt=0, le=60, description="seconds between looks at the outbox")
    public_url: str = Field(
        default="",
        pattern=r"^(https?://[^\s/?#]+(/[^\s?#]*)?)?$",
        description="address of the pages as people see it, for links; empty: publisher.url",
    )
    keep_days: float = Field(default=90.0, gt=0, description="how long ended notifications are kept")


def check_web_address(address: str) -> None:
    """Refuse what is no address of a web server, without repeating it.

    Raises
    ------
    ValueError
    """
    try:
        parts = urlsplit(address)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one or not address.isprintable() or " " in address:
        raise ValueError("is no address: write http://HOST/PATH or https://HOST/PATH")


def _check_one(name: str, value: object, file: object) -> None:
    if (value is None) == (file is None):
        raise ValueError(f"give either {name} or {name}_file")


def _secret(value: SecretStr | None, file: Path | None) -> str:
    if value is not None:
        return value.get_secret_value()
    assert file is not None
    try:
        with file.open("rb") as opened:
            found = opened.read(_LONGEST_SECRET).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is no text"
        raise SettingsError(f"{file}: {why}") from None
    if not found:
        raise SettingsError(f"{file}: is empty")
    return found
