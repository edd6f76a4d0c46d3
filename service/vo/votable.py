"""VOTable 1.4 documents, written a piece at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any
from xml.sax.saxutils import escape, quoteattr

MEDIA_TYPE = "application/x-votable+xml"

_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n<RESOURCE type="results">\n'
)
_FOOT = "</RESOURCE>\n</VOTABLE>\n"
#: What XML 1.0 has no way to write: control characters and halves of pairs.
_UNWRITABLE = {
    code: "�" for code in (*range(9), 11, 12, *range(14, 32), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF)
}


@dataclass(frozen=True)
class Field:
    """A column.

    Attributes
    ----------
    datatype : str
        char (text of any length), int, long, float or double.
    """

    name: str
    datatype: str
    description: str
    ucd: str = ""
    utype: str = ""
    unit: str = ""
    xtype: str = ""

    @property
    def as_xml(self) -> str:
        """The FIELD element."""
        attributes = {
            "name": self.name,
            "datatype": "unicodeChar" if self.datatype == "char" else self.datatype,
            "arraysize": "*" if self.datatype == "char" else "",
            "ucd": self.ucd,
            "utype": self.utype,
            "unit": self.unit,
            "xtype": self.xtype,
        }
        written = "".join(f" {name}={quoteattr(value)}" for name, value in attributes.items() if value)
        return f"<FIELD{written}><DESCRIPTION>{text(self.description)}</DESCRIPTION></FIELD>\n"


def text(value: Any) -> str:
    """Escape text for XML."""
    # A carriage return that stands as it is, every reader takes for a line's end.
    return escape(str(value).translate(_UNWRITABLE), {"\r": "&#13;"})


def info(name: str, value: str, content: str = "") -> str:
    """An INFO element."""
    value = quoteattr(value.translate(_UNWRITABLE))
    return f"<INFO name={quoteattr(name)} value={value}>{text(content)}</INFO>\n"


def table(
    fields: Sequence[Field],
    rows: Iterable[Mapping[str, Any]],
    *,
    infos: Sequence[tuple[str, str]] = (),
    overflow: Iterator[str] | None = None,
) -> Iterator[str]:
    """Write a result.

    Parameters
    ----------
    rows : iterable of mappings
        By the names of the fields; what is missing or None is null.
    overflow : iterator of str or None
        Asked after the last row: a word when there would have been more.
    """
    yield _HEAD + info("QUERY_STATUS", "OK") + "".join(info(name, value) for name, value in infos)
    yield "<TABLE>\n" + "".join(field.as_xml for field in fields) + "<DATA><TABLEDATA>\n"
    names = [field.name for field in fields]
    for row in rows:
        cells = "".join(f"<TD>{_cell(row.get(name))}</TD>" for name in names)
        yield f"<TR>{cells}</TR>\n"
    yield "</TABLEDATA></DATA>\n</TABLE>\n"
    for word in overflow or ():
        yield info("QUERY_STATUS", "OVERFLOW", word)
    yield _FOOT


def error(message: str) -> str:
    """Write an error document."""
    return _HEAD + info("QUERY_STATUS", "ERROR", message) + _FOOT


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not isfinite(value)):
        return ""
    return repr(value) if isinstance(value, float) else text(value)
