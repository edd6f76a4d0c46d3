"""The rule file as it lies there: read anew when it changes, and never in exchange for a broken one."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import structlog

from observatory.alerts.rule_file import RuleFileError, read_rules
from observatory.alerts.rules import Rules

_log = structlog.get_logger()

_LARGEST = 1 << 21

_Signature = tuple[int, int, int]


class RuleFile:
    """One file of rules.

    Attributes
    ----------
    problem : str or None
        What is wrong with the file now.
    """

    def __init__(self, path: Path, channels: Collection[str] | None) -> None:
        self._path, self._channels = path, channels
        self._seen: _Signature | str | None = "never"
        self._read: _Signature | str | None = "never"
        self.rules: Rules | None = None
        self.problem: str | None = None

    def look(self) -> bool:
        """Read the file if it has changed and then lain still for one look; whether there are other rules."""
        signature = self._signature()
        is_first, has_rested = self._read == "never", signature == self._seen
        self._seen = signature
        if signature == self._read or not (is_first or has_rested):
            return False
        self._read = signature
        try:
            new = read_rules(self._text(), self._path.name, self._channels)
        except (RuleFileError, OSError, ValueError) as error:
            self.problem = _said(error)
            kept = None if self.rules is None else len(self.rules.rules)
            _log.error("alert_rules_broken", file=str(self._path), problem=self.problem, rules_kept=kept)
            return False
        self.problem = None
        is_other = self.rules is None or self.rules.text != new.text
        self.rules = new
        _log.info("alert_rules_read", file=str(self._path), rules=len(new.rules))
        return is_other

    def fall_back(self, text: str | None) -> None:
        """Take the rules that were in force last, when the file was broken from the start."""
        if self.rules is not None or not text:
            return
        try:
            self.rules = read_rules(text, "the rules before", None)
        except RuleFileError:
            return  # another version wrote them
        _log.warning("alert_rules_of_before", rules=len(self.rules.rules))

    def _signature(self) -> _Signature | None:
        try:
            facts = self._path.stat()
        except OSError:
            return None
        return facts.st_mtime_ns, facts.st_size, facts.st_ino

    def _text(self) -> str:
        with self._path.open("rb") as opened:
            return opened.read(_LARGEST).decode("utf-8-sig")


def _said(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"is no UTF-8 text (byte {error.start + 1})"
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    return str(error)
