"""YAML with places: values of the wanted type, or a problem that says at which line and column.

All problems of a file are collected, so that it is mended in one go.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

MOST_BYTES = 1 << 20
_MOST_NODES = 50_000
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_WHOLE_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d|w))+")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST = timedelta(days=366)
_MAP = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Problem:
    """Something wrong in a file; line and column count from 1."""

    line: int
    column: int
    where: str
    what: str

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}"
        return f"{place}: {self.where}: {self.what}" if self.where else f"{place}: {self.what}"


class _TooMany(Exception):  # noqa: N818 - it never leaves this module
    pass


def parse(text: str) -> tuple[Node | None, list[Problem]]:
    """Read YAML into nodes that know their places; None for an empty text."""
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        return None, [Problem(1, 1, "", f"the file is larger than {MOST_BYTES:,} bytes")]
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _bounded(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(word for word in (error.context, error.problem) if word)
        return None, [Problem(*((mark.line + 1, mark.column + 1) if mark else (1, 1)), "", what)]
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        return None, [Problem(line, column, "", f"a character that may not stand here: {error.reason}")]
    except (_TooMany, RecursionError):
        return None, [Problem(1, 1, "", "the file is nested too deeply, or repeats itself too often")]
    return node, []


def _bounded(root: Node) -> None:
    """Refuse what unfolds to more than a rule file can be (an alias may stand for all that is before it)."""
    count, waiting = 0, [root]
    while waiting:
        count += 1
        if count > _MOST_NODES:
            raise _TooMany
        node = waiting.pop()
        if isinstance(node, MappingNode):
            waiting.extend(part for pair in node.value for part in pair)
        elif isinstance(node, SequenceNode):
            waiting.extend(node.value)


@dataclass
class Problems:
    """Collects what is wrong."""

    found: list[Problem] = field(default_factory=list)

    def add(self, node: Node, where: str, what: str) -> None:
        """Note a problem at a node."""
        mark = node.start_mark
        problem = Problem(mark.line + 1, mark.column + 1, where, what)
        if problem not in self.found:
            self.found.append(problem)


@dataclass(frozen=True)
class Value:
    """A node that is asked for what it ought to be; what it is not makes a problem and None.

    Attributes
    ----------
    where : str
        Its path, such as ``HalphaDegraded.when.quality``.
    """

    node: Node
    where: str
    problems: Problems

    def wrong(self, what: str) -> None:
        """Note a problem here."""
        self.problems.add(self.node, self.where, what)

    def at(self, name: str, node: Node) -> Value:
        """Something inside."""
        return Value(node, f"{self.where}.{name}" if self.where else name, self.problems)

    @property
    def is_mapping(self) -> bool:
        """Whether it holds names and values."""
        return isinstance(self.node, MappingNode)

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return isinstance(self.node, SequenceNode)

    @property
    def is_empty(self) -> bool:
        """Whether it is a mapping or a list with nothing in it."""
        return isinstance(self.node, MappingNode | SequenceNode) and not self.node.value

    def fields(self, known: Collection[str]) -> Mapping[str, Value]:
        """Names and values; those that are not known are problems, and so are names that come twice."""
        if not isinstance(self.node, MappingNode):
            self.wrong(f"a mapping is wanted, with {_some(known)}")
            return {}
        found: dict[str, Value] = {}
        for key, value in self.node.value:
            name = key.value if isinstance(key, ScalarNode) else None
            if name is None or name not in known:
                shown = name if name is not None else "this"
                self.problems.add(key, self.where, f"{shown[:60]!r} is no field here; {meant(shown, known)}")
            elif name in found:
                self.problems.add(key, self.where, f"{name!r} stands here twice")
            else:
                found[name] = self.at(name, value)
        return found

    def pairs(self) -> Iterator[tuple[str, Value]]:
        """Names of the writer's own and their values."""
        if not isinstance(self.node, MappingNode):
            self.wrong("a mapping is wanted, of names and texts")
            return
        seen = set()
        for key, value in self.node.value:
            if not isinstance(key, ScalarNode):
                self.problems.add(key, self.where, "a name is wanted")
            elif key.value in seen:
                self.problems.add(key, self.where, f"{key.value!r} stands here twice")
            else:
                seen.add(key.value)
                yield key.value, self.at(key.value, value)

    def items(self) -> list[Value]:
        """Parts of a list."""
        if not isinstance(self.node, SequenceNode):
            self.wrong("a list is wanted")
            return []
        return [
            Value(node, f"{self.where}[{number}]", self.problems)
            for number, node in enumerate(self.node.value)
        ]

    def _scalar(self) -> Any:
        if not isinstance(self.node, ScalarNode):
            return None
        try:
            return yaml.constructor.SafeConstructor().construct_object(self.node)
        except (ValueError, yaml.YAMLError, OverflowError):
            return None

    def text(self) -> str | None:
        """A text; numbers and the like count as what is written."""
        if not isinstance(self.node, ScalarNode) or self.node.tag == f"{_MAP}null":
            self.wrong("a text is wanted")
            return None
        return self.node.value

    def flag(self) -> bool | None:
        """True or false."""
        value = self._scalar()
        if not isinstance(value, bool):
            self.wrong("true or false is wanted")
            return None
        return value

    def number(self, low: float | None = None, high: float | None = None) -> float | None:
        """A finite number."""
        value = self._scalar()
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self.wrong("a number is wanted")
            return None
        if (low is not None and value < low) or (high is not None and value > high):
            self.wrong(f"{value:g} does not lie between {low:g} and {high:g}")
            return None
        return float(value)

    def count(self, low: int, high: int = 1_000_000) -> int | None:
        """A whole number."""
        value = self._scalar()
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.wrong(f"a whole number from {low} to {high} is wanted")
            return None
        return value

    def duration(self, least: timedelta = timedelta(0)) -> timedelta | None:
        """A span of time, such as 90s, 10m or 1h30m."""
        word = self.node.value if isinstance(self.node, ScalarNode) else ""
        if not isinstance(self.node, ScalarNode) or not _WHOLE_DURATION.fullmatch(word.strip()):
            self.wrong("a span of time is wanted, such as 500ms, 90s, 10m, 1h30m or 2d")
            return None
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(word))
        if seconds > _LONGEST.total_seconds() or seconds < least.total_seconds():
            self.wrong(f"a span of time from {least.total_seconds():g} s to {_LONGEST.days} days is wanted")
            return None
        return timedelta(seconds=seconds)

    def words(self, known: Collection[str] | None = None) -> tuple[str, ...]:
        """A word, or a list of words; of those that are known."""
        parts = self.items() if self.is_list else [self]
        found = []
        for part in parts:
            word = part.text()
            if word is None:
                continue
            if known is not None and word not in known:
                part.wrong(f"{word[:60]!r} is not known; {meant(word, known)}")
            elif word not in found:
                found.append(word)
        if not parts:
            self.wrong("at least one is wanted")
        return tuple(found)


def meant(word: str, known: Collection[str]) -> str:
    """What somebody may have meant, else what there is."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known: {_some(known)}"


def _some(known: Collection[str]) -> str:
    return ", ".join(known) or "none"
