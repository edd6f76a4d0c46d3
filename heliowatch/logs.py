"""Logging: structlog to stderr, for people at a terminal or as one JSON object a line."""

from __future__ import annotations

import logging
import sys

import structlog

from observatory.errors import SettingsError
from observatory.settings import HOW_SETTINGS_ARE_NAMED, LogSettings

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def configure(settings: LogSettings) -> None:
    """Send our events, and those of libraries, to stderr in one form.

    Raises
    ------
    SettingsError
        When there is no such level.
    """
    level = _level(settings.level)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if settings.as_json:
        shared.append(structlog.processors.format_exc_info)
        renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # the rich one prints locals, passwords too
        )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[_strip, renderer])
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


def tell_ignored(names: list[str]) -> None:
    """Warn of variables and secret files that look like settings, and are none."""
    if names:
        structlog.get_logger(__name__).warning("settings_ignored", names=names, hint=HOW_SETTINGS_ARE_NAMED)


def _level(name: str) -> int:
    if name.upper() not in _LEVELS:
        raise SettingsError(f"settings: log.level: {name!r} is none of {', '.join(_LEVELS)}")
    return logging.getLevelNamesMapping()[name.upper()]


def _strip(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return structlog.stdlib.ProcessorFormatter.remove_processors_meta(None, "", event)
