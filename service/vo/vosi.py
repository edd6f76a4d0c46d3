"""VOSI 1.1 documents: what the service can do, whether it can do it now, what its answers hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service.vo.votable import Field, text

MEDIA_TYPE = "text/xml"

_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
_XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
_DATA_SERVICE = 'xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1"'
_CAPABILITIES = "http://www.ivoa.net/xml/VOSICapabilities/v1.0"
_AVAILABILITY = "http://www.ivoa.net/xml/VOSIAvailability/v1.0"
_TABLES = "http://www.ivoa.net/xml/VOSITables/v1.0"

#: Standard identifier of each resource, and its version.
_STANDARDS: Mapping[str, tuple[str, str]] = {
    "capabilities": ("ivo://ivoa.net/std/VOSI#capabilities", "1.1"),
    "availability": ("ivo://ivoa.net/std/VOSI#availability", "1.1"),
    "tables": ("ivo://ivoa.net/std/VOSI#tables-1.1", "1.1"),
    "sia2": ("ivo://ivoa.net/std/SIA#query-2.0", "2.0"),
}


def capabilities(address: str) -> str:
    """The resources and where they are.

    Parameters
    ----------
    address : str
        Of this face of the service, as the client sees it, without a slash at the end.
    """
    parts = [f'{_XML}<vosi:capabilities xmlns:vosi="{_CAPABILITIES}" {_XSI} {_DATA_SERVICE}>\n']
    for name, (standard, version) in _STANDARDS.items():
        is_query = name == "sia2"
        url = f'<accessURL use="{"base" if is_query else "full"}">{text(f"{address}/{name}")}</accessURL>'
        # No queryType: DALI asks for GET and POST anyhow, and pyvo 1.9 warns of two of them.
        formats = "<resultType>application/x-votable+xml</resultType>"
        parts.append(
            f'<capability standardID="{standard}">'
            f'<interface xsi:type="vs:ParamHTTP" role="std" version="{version}">'
            f"{url}{formats if is_query else ''}</interface></capability>\n"
        )
    return "".join([*parts, "</vosi:capabilities>\n"])


def availability(*, is_available: bool, note: str) -> str:
    """Whether the service can be used now."""
    word = "true" if is_available else "false"
    return (
        f'{_XML}<vosi:availability xmlns:vosi="{_AVAILABILITY}">'
        f"<vosi:available>{word}</vosi:available><vosi:note>{text(note)}</vosi:note></vosi:availability>\n"
    )


def tables(fields: Sequence[Field]) -> str:
    """The columns of an answer."""
    columns = "".join(_column(field) for field in fields)
    return (
        f'{_XML}<vosi:tableset xmlns:vosi="{_TABLES}" {_XSI} {_DATA_SERVICE}>'
        '<schema><name>heliowatch</name><table type="output"><name>heliowatch.sia2</name>'
        f"<description>Images of frames, as ObsCore has them.</description>{columns}</table></schema>"
        "</vosi:tableset>\n"
    )


def _column(field: Field) -> str:
    is_text = field.datatype == "char"
    size = ' arraysize="*"' if is_text else ""
    kind = "unicodeChar" if is_text else field.datatype
    told = "".join(
        f"<{name}>{text(value)}</{name}>"
        for name, value in (("unit", field.unit), ("ucd", field.ucd), ("utype", field.utype))
        if value
    )
    return (
        f"<column><name>{text(field.name)}</name><description>{text(field.description)}</description>{told}"
        f'<dataType xsi:type="vs:VOTableType"{size}>{kind}</dataType></column>'
    )
