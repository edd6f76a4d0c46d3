"""The command line, run in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import structlog

from heliowatch import cli, logs
from tests.heliowatch.ended import Ended, Run


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run the command line in this process; logging is left alone, as it outlives a test."""
    monkeypatch.setattr(logs, "configure", lambda _: None)
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), cache_logger_on_first_use=False)

    def call(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["heliowatch", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    yield call
    structlog.reset_defaults()
