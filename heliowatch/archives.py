"""Public archives of real frames: where they are, how their folders and files are named.

Each is one entry of `ARCHIVES`; a new archive of plain HTML listings needs no other place. The layouts
were read off programs and papers that use them (named in ``known_from``), none was probed from here: if
an archive moves, its entry is what to mend.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from observatory.errors import SettingsError

_AIA = "94|131|171|193|211|304|335|1600|1700|4500"


@dataclass(frozen=True)
class Choice:
    """What a user may choose about an archive.

    Attributes
    ----------
    about : str
        What it is, for people.
    allowed : str
        Pattern of the values that may be given.
    default : str or None
        None: any, all of them are taken.
    padding : int
        Width to which the archive fills it up with zeros.
    """

    about: str
    allowed: str
    default: str | None = None
    padding: int = 0

    def pattern(self, given: str | None) -> str:
        """What the names must have in this place.

        Raises
        ------
        ValueError
            When the value is none of those allowed.
        """
        value = self.default if given is None else given
        if value is None:
            return f"(?:{self.allowed})"
        if re.fullmatch(self.allowed, value) is None:
            raise ValueError(f"{value!r}: {self.about}")
        return re.escape(value.rjust(self.padding, "0"))


@dataclass(frozen=True)
class Archive:
    """An archive that lists its folders as plain HTML.

    Attributes
    ----------
    root : str
        Address of the topmost folder.
    folders : tuple of str
        Steps down from there, each ending in a slash: dates in the words of `strftime`, one folder each;
        or, after ``~``, a pattern: then the listing is read and every folder that fits is entered.
    files : str
        Pattern of the names wanted; the group ``time`` is when.
    time_format : str
        Of that group, for `strptime`.
    is_tai : bool
        Whether the times in names are International Atomic Time.
    choices : Mapping of str to Choice
        By the name that stands in braces in ``folders`` and ``files``.
    known_from : str
        How we know, and whom to thank.
    """

    name: str
    about: str
    root: str
    folders: tuple[str, ...]
    files: str
    time_format: str
    known_from: str
    is_tai: bool = False
    choices: Mapping[str, Choice] = field(default_factory=dict)


@dataclass(frozen=True)
class VsoArchive:
    """An archive that sunpy's Fido searches.

    Attributes
    ----------
    instrument : str
        In the words of the Virtual Solar Observatory.
    """

    name: str
    about: str
    instrument: str
    known_from: str
    choices: Mapping[str, Choice] = field(default_factory=dict)


_NETWORK = (
    "University of Calgary open data tree; layout as in AuroraX's and asilib's readers; CC BY 4.0, ask the PI"
)
_SITE = Choice("site, four letters such as gill", "[a-z]{4}")
_HELIOVIEWER = (
    "Helioviewer's JPEG 2000 tree, as their HAPI server lists it; credit NASA/SDO and the science teams"
)

ARCHIVES: dict[str, Archive | VsoArchive] = {
    archive.name: archive
    for archive in (
        Archive(
            name="kso",
            about="Kanzelhöhe H-alpha patrol, processed, every few seconds",
            root="http://cesar.kso.ac.at/halpha3a/",
            folders=("%Y/%Y%m%d/processed/",),
            files=r"kanz_halph_f[a-z]_(?P<time>\d{8}_\d{6})\.fts\.gz",
            time_format="%Y%m%d_%H%M%S",
            known_from="addresses of single frames in R. Jarolim's published KSO tools; credit Kanzelhöhe Observatory",
        ),
        Archive(
            name="kso-selected",
            about="Kanzelhöhe H-alpha, the few best frames of each day",
            root="http://cesar.kso.ac.at/halpha2k/recent/",
            folders=("%Y/",),
            files=r"kanz_halph_f[a-z]_(?P<time>\d{8}_\d{6})\.fts\.gz",
            time_format="%Y%m%d_%H%M%S",
            known_from="sunpy's former Kanzelhöhe client and its tests; credit Kanzelhöhe Observatory",
        ),
        Archive(
            name="gong",
            about="NSO/GONG H-alpha, every minute from six sites",
            root="https://gong2.nso.edu/HA/haf/",
            folders=("%Y%m/%Y%m%d/",),
            files=r"(?P<time>\d{14}){site}h\.fits\.fz",
            time_format="%Y%m%d%H%M%S",
            known_from="names in GONG's own headers and in the URLs of several programs; credit NSO/GONG, NISP",
            choices={"site": Choice("site, one letter: B, C, L, M, T, U or Z", "[A-Z]")},
        ),
        Archive(
            name="hmi",
            about="SDO/HMI line-of-sight magnetograms of 720 s, FITS, near real time",
            root="https://jsoc1.stanford.edu/data/hmi/fits/",
            folders=("%Y/%m/%d/",),
            files=r"hmi\.M_720s\.(?P<time>\d{8}_\d{6})_TAI\.fits",
            time_format="%Y%m%d_%H%M%S",
            is_tai=True,
            known_from="JSOC's public folder; credit NASA/SDO and the HMI science team",
        ),
        Archive(
            name="aia-synoptic",
            about="SDO/AIA level 1.5 FITS, 1024 pixels, every two minutes",
            root="https://jsoc1.stanford.edu/data/aia/synoptic/",
            folders=("%Y/%m/%d/H%H00/",),
            files=r"AIA(?P<time>\d{8}_\d{4})_{channel}\.fits",
            time_format="%Y%m%d_%H%M",
            known_from="JSOC's public folder and sunpy's synoptic client; credit NASA/SDO and the AIA science team",
            choices={"channel": Choice("channel in Å, such as 193", _AIA, "193", padding=4)},
        ),
        Archive(
            name="sdo-browse",
            about="SDO browse pictures, every quarter of an hour",
            root="https://sdo.gsfc.nasa.gov/assets/img/browse/",
            folders=("%Y/%m/%d/",),
            files=r"(?P<time>\d{8}_\d{6})_{size}_{channel}\.jpg",
            time_format="%Y%m%d_%H%M%S",
            known_from="NASA's public folder; courtesy of NASA/SDO and the AIA and HMI science teams",
            choices={
                "channel": Choice(
                    "0193, …, or HMIIC, HMIIF, HMIB, HMID", r"\d{4}|HMI(?:IC|IF|I|BC|B|D)", "0193"
                ),
                "size": Choice("pixels on a side: 512, 1024, 2048 or 4096", "512|1024|2048|4096", "1024"),
            },
        ),
        Archive(
            name="helioviewer-aia",
            about="SDO/AIA JPEG 2000, 4096 pixels, every 36 seconds",
            root="https://helioviewer.org/jp2/AIA/",
            folders=("%Y/%m/%d/{channel}/",),
            files=r"(?P<time>\d{4}_\d\d_\d\d__\d\d_\d\d_\d\d)_\d+__SDO_AIA_AIA_{channel}\.jp2",
            time_format="%Y_%m_%d__%H_%M_%S",
            known_from=_HELIOVIEWER,
            choices={"channel": Choice("channel in Å, such as 193", _AIA, "193")},
        ),
        Archive(
            name="helioviewer-hmi",
            about="SDO/HMI JPEG 2000, 4096 pixels",
            root="https://helioviewer.org/jp2/HMI/",
            folders=("%Y/%m/%d/{kind}/",),
            files=r"(?P<time>\d{4}_\d\d_\d\d__\d\d_\d\d_\d\d)_\d+__SDO_HMI_HMI_{kind}\.jp2",
            time_format="%Y_%m_%d__%H_%M_%S",
            known_from=_HELIOVIEWER,
            choices={"kind": Choice("continuum or magnetogram", "continuum|magnetogram", "continuum")},
        ),
        Archive(
            name="themis",
            about="THEMIS all-sky imagers, films of a minute, white light",
            root="https://data.phys.ucalgary.ca/sort_by_project/THEMIS/asi/stream0/",
            folders=("%Y/%m/%d/", r"~{site}_themis\d\d/", "ut%H/"),
            files=r"(?P<time>\d{8}_\d{4})_{site}_themis\d\d_full\.pgm\.gz",
            time_format="%Y%m%d_%H%M",
            known_from=_NETWORK,
            choices={"site": _SITE},
        ),
        Archive(
            name="rego",
            about="REGO all-sky imagers, films of a minute, 630 nm",
            root="https://data.phys.ucalgary.ca/sort_by_project/GO-Canada/REGO/stream0/",
            folders=("%Y/%m/%d/", r"~{site}_rego-\d+/", "ut%H/"),
            files=r"(?P<time>\d{8}_\d{4})_{site}_rego-\d+_6300\.pgm\.gz",
            time_format="%Y%m%d_%H%M",
            known_from=_NETWORK,
            choices={"site": _SITE},
        ),
        VsoArchive(
            name="aia",
            about="SDO/AIA level 1 FITS, 4096 pixels, every 12 seconds (through sunpy and the VSO)",
            instrument="AIA",
            known_from="the Virtual Solar Observatory; credit NASA/SDO and the AIA science team",
            choices={
                "channel": Choice("channel in Å, such as 193", _AIA, "193"),
                "every": Choice("seconds between frames", r"\d{1,6}", "720"),
            },
        ),
        VsoArchive(
            name="hmi-vso",
            about="SDO/HMI FITS, 4096 pixels, every 45 seconds (through sunpy and the VSO)",
            instrument="HMI",
            known_from="the Virtual Solar Observatory; credit NASA/SDO and the HMI science team",
            choices={
                "kind": Choice(
                    "intensity or LOS_magnetic_field", "intensity|LOS_magnetic_field", "intensity"
                ),
                "every": Choice("seconds between frames", r"\d{1,6}", "720"),
            },
        ),
    )
}


def archive_named(name: str) -> Archive | VsoArchive:
    """An archive by its name.

    Raises
    ------
    SettingsError
        With the names there are.
    """
    if name not in ARCHIVES:
        raise SettingsError(
            f"no archive is named {name!r}; there are: {', '.join(ARCHIVES)} (--list tells of them)"
        )
    return ARCHIVES[name]


def chosen(archive: Archive | VsoArchive, words: list[str]) -> dict[str, str]:
    """Values that the user gave as ``NAME=VALUE``.

    Raises
    ------
    SettingsError
        When the archive has no such choice, or the value is none.
    """
    given = {}
    for word in words:
        name, _, value = word.partition("=")
        choice = archive.choices.get(name)
        if choice is None:
            known = ", ".join(archive.choices) or "none"
            raise SettingsError(f"--with {word}: {archive.name} has the choices: {known}")
        try:
            choice.pattern(value)
        except ValueError as error:
            raise SettingsError(f"--with {word}: {error}") from error
        given[name] = value
    return given


def filled(archive: Archive, text: str, given: Mapping[str, str]) -> str:
    """Pattern with the choices in their places."""
    for name, choice in archive.choices.items():
        text = text.replace(f"{{{name}}}", choice.pattern(given.get(name)))
    return text
