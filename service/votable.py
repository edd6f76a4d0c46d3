"""VOTable 1.4 in constant memory: the rows as text, one after another."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

from service.formats import iso_z

if TYPE_CHECKING:
    from service.tables import Column, Table

_HEAD = (
    '<?xml version="1.0" encoding="utf-8"?>\n'
    '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
    '<RESOURCE type="results">\n<INFO name="QUERY_STATUS" value="OK"/>\n'
)
_OVERFLOW = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>\n'
_TYPES = {
    "text": 'datatype="unicodeChar" arraysize="*"',
    "integer": 'datatype="long"',
    "number": 'datatype="double"',
    "boolean": 'datatype="boolean"',
    "time": 'datatype="char" arraysize="*" xtype="timestamp"',
}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def votable_pieces(table: Table) -> Iterator[bytes]:
    """Write a table; what is unknown is an empty cell, as version 1.3 and later have it."""
    fields = "".join(_field(column) for column in table.columns)
    name = quoteattr(table.name)
    yield f"{_HEAD}<TABLE name={name}>\n{fields}<DATA>\n<TABLEDATA>\n".encode()
    words = [_WORDS[column.kind] for column in table.columns]
    for rows in table.pieces:
        yield "".join(_row(row, words) for row in rows).encode()
    end = "</TABLEDATA>\n</DATA>\n</TABLE>\n"
    yield f"{end}{_OVERFLOW if table.is_cut else ''}</RESOURCE>\n</VOTABLE>\n".encode()


def _field(column: Column) -> str:
    parts = [f"name={quoteattr(column.name)} ID={quoteattr(column.name)} {_TYPES[column.kind]}"]
    if column.unit:
        parts.append(f"unit={quoteattr(column.unit)}")
    if column.ucd:
        parts.append(f"ucd={quoteattr(column.ucd)}")
    if not column.description:
        return f"<FIELD {' '.join(parts)}/>\n"
    return f"<FIELD {' '.join(parts)}><DESCRIPTION>{escape(column.description)}</DESCRIPTION></FIELD>\n"


def _row(row: Any, words: list[Callable[[Any], str]]) -> str:
    cells = (
        "<TD/>" if value is None else f"<TD>{word(value)}</TD>"
        for value, word in zip(row, words, strict=True)
    )
    return f"<TR>{''.join(cells)}</TR>\n"


def _text(value: Any) -> str:
    # XML has no way to write a control character, which a file's name may hold.
    # A carriage return that stands as it is, every reader takes for a line's end.
    return escape(_NOT_XML.sub("\ufffd", str(value)), {"\r": "&#13;"})


def _boolean(value: Any) -> str:
    return "T" if value else "F"


_WORDS: dict[str, Callable[[Any], str]] = {
    "text": _text,
    "integer": str,
    "number": repr,
    "boolean": _boolean,
    "time": iso_z,
}
