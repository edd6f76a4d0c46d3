"""Which region is which from frame to frame: pure rules, no clock and no storage.

A region keeps its id as long as its footprint, carried along by differential rotation, overlaps
what the next frame shows. Footprints are compared on an equal-area map of the visible hemisphere,
where shared area means shared area on the Sun and the poles are places like any other.

* The track and the region that share most belong together, then the next, each at most once.
* A region left over that lies mostly on a track's footprint has split off: it is a new track and
  names its parent. The piece that shares most keeps the id, which is the largest in all but name.
* A track left over that lies mostly under a region has merged into that region's track. When its
  piece comes apart again within a day it gets its old id back.
* A frame that arrives late is compared with the sightings nearest to it in time; it never records
  a split or a merge, for newer frames have decided already. So is a frame of another channel:
  channels differ in outline, and only a channel's own frames tell that something has changed.
* What leaves over the west limb ends there. A region that returns after half a rotation is a new
  track: on the far side nobody saw whether it was still the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.analysis import EventType, Region
from observatory.coordinates import SunView, rotation_deg_per_day
from observatory.errors import UnusableInputError

#: Sightings further away in time than this do not count: a region from the middle of the disk has
#: reached the limb by then.
MAX_GAP_DAYS = 6.0
#: How long a merged track may come apart again under its old id.
REVIVAL_DAYS = 1.0
#: Least share of the smaller footprint that a track and a region have in common. Neighbours touch
#: by less even when the rotation law is out by a degree.
LEAST_OVERLAP = 0.25
#: Least share of a piece that lies on its parent, and of a track that lies under what absorbed it.
LEAST_CONTAINED = 0.5
_OTHER_INSTRUMENT_DAYS = 0.5  # by how much nearer in time another channel's sighting must be to be preferred
_SIDE = 384  # cells across the map: 0.42 degrees, a tenth of the smallest region's area each
_RADIUS = np.sqrt(2.0)  # of the hemisphere on Lambert's map
_CELLS_PER_RADIUS = _SIDE / 2.0 / _RADIUS
_OUT_OF_SIGHT = 0.05  # share of a footprint still on the visible hemisphere


@dataclass(frozen=True)
class Sighting:
    """One region in one frame, as far as tracking needs it.

    Attributes
    ----------
    date_obs : datetime
    instrument : str
        Name of the channel, such as ``aia-193``.
    rings_carrington_deg : tuple of ndarray, shape (n, 2)
        Outlines as in `Region`.
    area_msh : float
    centroid_carrington_deg : tuple (longitude, latitude)
    """

    date_obs: datetime
    instrument: str
    rings_carrington_deg: tuple[NDArray[np.float64], ...]
    area_msh: float
    centroid_carrington_deg: tuple[float, float]

    @classmethod
    def of(cls, region: Region, date_obs: datetime, instrument: str) -> Sighting:
        """Return what tracking needs of a region.

        Raises
        ------
        UnusableInputError
            When the region has no Carrington coordinates: its frame had no time or no pointing.
        """
        if not region.rings_carrington_deg or region.centroid_carrington_deg is None:
            raise UnusableInputError(
                "a region without Carrington coordinates cannot be tracked; "
                "its frame needs a time and a pointing with a roll angle"
            )
        return cls(
            date_obs,
            instrument,
            region.rings_carrington_deg,
            region.area_msh or 0.0,
            region.centroid_carrington_deg,
        )


@dataclass(frozen=True)
class Track:
    """A region known under one id.

    Attributes
    ----------
    id : int
        The caller's number.
    event_type : EventType
    sightings : tuple of Sighting
        Of each instrument at least the nearest one before and the nearest one after the moment
        that is asked about; any order.
    merged_into : int or None
        The track that absorbed it.
    """

    id: int
    event_type: EventType
    sightings: tuple[Sighting, ...]
    merged_into: int | None = None


@dataclass(frozen=True)
class Observation:
    """The regions of one type in one frame, in the order in which the answer counts them."""

    date_obs: datetime
    instrument: str
    event_type: EventType
    regions: tuple[Sighting, ...]


@dataclass(frozen=True)
class Assignment:
    """Region number `region` of the observation is the track `track_id`.

    `overlap` is the share of the smaller footprint that the two have in common, 0 to 1.
    """

    region: int
    track_id: int
    overlap: float


@dataclass(frozen=True)
class NewTrack:
    """Region number `region` is seen for the first time; `parent_id` is what it split from."""

    region: int
    parent_id: int | None = None


@dataclass(frozen=True)
class Split:
    """Region number `region`, a new track, came off the track `parent_id`."""

    parent_id: int
    region: int


@dataclass(frozen=True)
class Merge:
    """The track `absorbed_id` has become part of the track `into_id`."""

    absorbed_id: int
    into_id: int


@dataclass(frozen=True)
class Update:
    """What one frame changes; to be written in one transaction.

    Attributes
    ----------
    assignments : tuple of Assignment
        Regions that are known, by number; no track occurs twice.
    new : tuple of NewTrack
        All other regions, by number.
    splits, merges : tuple
        What came apart and what came together.
    revived : tuple of int
        Tracks among the assignments whose `merged_into` is to be cleared.
    left_disk : tuple of int
        Tracks that have rotated out of sight; named again by every later frame that knows them.
    """

    assignments: tuple[Assignment, ...] = ()
    new: tuple[NewTrack, ...] = ()
    splits: tuple[Split, ...] = ()
    merges: tuple[Merge, ...] = ()
    revived: tuple[int, ...] = ()
    left_disk: tuple[int, ...] = ()


def update(tracks: Iterable[Track], observation: Observation) -> Update:
    """Say which known track each region of a frame is, and what has split or merged.

    Parameters
    ----------
    tracks : iterable of Track
        Tracks of other event types are passed over, and so are sightings further away in time
        than `MAX_GAP_DAYS`.

    Returns
    -------
    Update
        The same for the same input, whatever the order of the tracks.
    """
    tracks = [track for track in tracks if track.event_type == observation.event_type]
    is_late = _is_late(tracks, observation)
    known = _candidates(tracks, observation, is_late=is_late)
    hemisphere = _Hemisphere(observation.date_obs)
    drawn = [hemisphere.cells(sighting) for sighting in observation.regions]
    shared = _shared_cells([hemisphere.cells(c.sighting) for c in known], drawn)
    links = _links(known, drawn, shared)
    chosen = _best_pairs(links)
    by_track = {known[link.track].track.id for link in chosen}
    assignments = tuple(
        Assignment(link.region, known[link.track].track.id, round(link.overlap, 4))
        for link in sorted(chosen, key=lambda link: link.region)
    )
    new = _new_tracks(known, links, chosen, len(drawn))
    return Update(
        assignments=assignments,
        new=new,
        splits=tuple(Split(item.parent_id, item.region) for item in new if item.parent_id is not None),
        merges=_merges(known, links, chosen),
        revived=tuple(
            c.track.id
            for c in known
            if c.track.merged_into is not None and c.track.id in by_track and not is_late
        ),
        left_disk=tuple(
            c.track.id
            for c, cells in zip(known, shared.track_cells, strict=True)
            if c.is_newest and c.track.merged_into is None and _is_out_of_sight(c.sighting, cells)
        ),
    )


@dataclass(frozen=True)
class _Candidate:
    """A track and the one sighting of it that the frame is compared with.

    `is_newest` says that nothing later is known of the track. `tells_changes` says that the frame
    is the next one of the same instrument, so that what differs has changed.
    """

    track: Track
    sighting: Sighting
    is_newest: bool
    tells_changes: bool


def _candidates(tracks: Sequence[Track], observation: Observation, *, is_late: bool) -> list[_Candidate]:
    found = []
    for track in sorted(tracks, key=lambda track: track.id):
        near = [s for s in track.sightings if abs(_days(s, observation)) <= MAX_GAP_DAYS]
        if not near:
            continue
        sighting = min(near, key=lambda s: _distance(s, observation))
        if track.merged_into is not None and abs(_days(sighting, observation)) > REVIVAL_DAYS:
            continue
        newest = max(s.date_obs for s in track.sightings)
        is_newest = newest <= min(sighting.date_obs, observation.date_obs)
        is_next = sighting.instrument == observation.instrument and observation.date_obs > sighting.date_obs
        found.append(_Candidate(track, sighting, is_newest, is_next and not is_late))
    return found


def _is_late(tracks: Sequence[Track], observation: Observation) -> bool:
    """Whether a newer frame of the same instrument is known."""
    return any(
        sighting.date_obs > observation.date_obs and sighting.instrument == observation.instrument
        for track in tracks
        for sighting in track.sightings
    )


def _days(sighting: Sighting, observation: Observation) -> float:
    return (observation.date_obs - sighting.date_obs).total_seconds() / 86400.0


def _distance(sighting: Sighting, observation: Observation) -> tuple[float, bool]:
    """Days apart, with a handicap for other instruments; of two alike the earlier one."""
    days = _days(sighting, observation)
    handicap = 0.0 if sighting.instrument == observation.instrument else _OTHER_INSTRUMENT_DAYS
    return abs(days) + handicap, days < 0


Cells = NDArray[np.intp]


class _Hemisphere:
    """Lambert's equal-area map about the middle of the disk at one moment."""

    def __init__(self, date_obs: datetime) -> None:
        view = SunView(date_obs)
        self._date_obs = date_obs
        self._l0_deg, self._b0 = view.l0_deg, np.radians(view.b0_deg)

    def cells(self, sighting: Sighting) -> Cells:
        """Cells (flat index) that a footprint covers once rotation has carried it to this moment."""
        days = (self._date_obs - sighting.date_obs).total_seconds() / 86400.0
        rings = [
            np.rint(self._project(ring, days) * 16.0).astype(np.int32)
            for ring in sighting.rings_carrington_deg
        ]
        every = np.concatenate(rings) >> 4
        low = np.clip(every.min(axis=0) - 1, 0, _SIDE - 1)
        width, height = np.clip(every.max(axis=0) + 3, 1, _SIDE) - low
        if width <= 0 or height <= 0:
            return np.empty(0, np.intp)
        painted = np.zeros((height, width), np.uint8)
        cv2.fillPoly(painted, [ring - 16 * low for ring in rings], 1, cv2.LINE_8, 4)
        painted &= _visible()[low[1] : low[1] + height, low[0] : low[0] + width]
        y, x = np.nonzero(painted)
        return (y + low[1]) * _SIDE + x + low[0]

    def _project(self, ring: NDArray[np.float64], days: float) -> NDArray[np.float64]:
        """Cells (x, y) of an outline."""
        drift = rotation_deg_per_day(ring[:, 1], frame="carrington") * days
        longitude = np.radians(ring[:, 0] + drift - self._l0_deg)
        latitude = np.radians(ring[:, 1])
        west = np.cos(latitude) * np.sin(longitude)
        meridional = np.cos(latitude) * np.cos(longitude)
        north = np.cos(self._b0) * np.sin(latitude) - np.sin(self._b0) * meridional
        near = np.sin(self._b0) * np.sin(latitude) + np.cos(self._b0) * meridional
        stretch = np.sqrt(2.0 / np.maximum(1.0 + near, 0.02))  # the antipode is a circle, not a point
        plane = np.stack([stretch * west, stretch * north], axis=-1)
        return np.asarray(plane * _CELLS_PER_RADIUS + (_SIDE - 1) / 2.0)


@lru_cache(maxsize=1)
def _visible() -> NDArray[np.uint8]:
    middle = np.arange(_SIDE) - (_SIDE - 1) / 2.0
    return (np.hypot(middle[None, :], middle[:, None]) <= _SIDE / 2.0).astype(np.uint8)


@dataclass(frozen=True)
class _Shared:
    """Cells in common (track, region) and cells of each track."""

    counts: NDArray[np.intp]
    track_cells: tuple[int, ...]


def _shared_cells(tracks: Sequence[Cells], regions: Sequence[Cells]) -> _Shared:
    numbered = np.zeros(_SIDE * _SIDE, np.int32)
    counts = np.zeros((len(tracks), len(regions)), np.intp)
    for number, cells in enumerate(regions):
        numbered[cells] = number + 1  # regions of one frame do not overlap by more than their rims
    for row, cells in enumerate(tracks):
        counts[row] = np.bincount(numbered[cells], minlength=len(regions) + 1)[1:]
    return _Shared(counts, tuple(len(cells) for cells in tracks))


@dataclass(frozen=True)
class _Link:
    """A track (row) and a region (number) that may belong together."""

    track: int
    region: int
    cells: int
    share_of_track: float
    share_of_region: float

    @property
    def overlap(self) -> float:
        """Share of the smaller of the two."""
        return min(1.0, max(self.share_of_track, self.share_of_region))


def _links(known: Sequence[_Candidate], regions: Sequence[Cells], shared: _Shared) -> list[_Link]:
    links = []
    for row, number in zip(*np.nonzero(shared.counts), strict=True):
        cells = int(shared.counts[row, number])
        link = _Link(
            int(row),
            int(number),
            cells,
            cells / max(shared.track_cells[row], 1),
            cells / max(len(regions[number]), 1),
        )
        least = LEAST_OVERLAP
        if known[row].track.merged_into is not None:
            # An absorbed track lies under its absorber: it must be the very piece to come back.
            if min(link.share_of_track, link.share_of_region) < LEAST_CONTAINED:
                continue
            least = LEAST_CONTAINED
        if link.overlap >= least:
            links.append(link)
    return links


def _best_pairs(links: Sequence[_Link]) -> list[_Link]:
    """Pairs by shared area, largest first, each track and each region once."""
    chosen: list[_Link] = []
    tracks: set[int] = set()
    regions: set[int] = set()
    for link in sorted(links, key=lambda link: (-link.cells, link.track, link.region)):
        if link.track not in tracks and link.region not in regions:
            chosen.append(link)
            tracks.add(link.track)
            regions.add(link.region)
    return chosen


def _new_tracks(
    known: Sequence[_Candidate], links: Sequence[_Link], chosen: Sequence[_Link], count: int
) -> tuple[NewTrack, ...]:
    """Regions that no track claimed, with the parent that they came off."""
    taken = {link.region for link in chosen}
    still_seen = {link.track for link in chosen}
    new = []
    for number in range(count):
        if number in taken:
            continue
        parents = [
            link
            for link in links
            if link.region == number
            and link.track in still_seen
            and known[link.track].tells_changes
            and link.share_of_region >= LEAST_CONTAINED
        ]
        parent = max(parents, key=lambda link: (link.cells, -link.track), default=None)
        new.append(NewTrack(number, None if parent is None else known[parent.track].track.id))
    return tuple(new)


def _merges(
    known: Sequence[_Candidate], links: Sequence[_Link], chosen: Sequence[_Link]
) -> tuple[Merge, ...]:
    """Tracks that no region is left for, because another track's region covers them."""
    owner = {link.region: link.track for link in chosen}
    assigned = set(owner.values())
    merges = []
    for row, candidate in enumerate(known):
        if row in assigned or candidate.track.merged_into is not None:
            continue
        if not (candidate.is_newest and candidate.tells_changes):
            continue  # another channel may still see it apart
        over = [
            link
            for link in links
            if link.track == row and link.region in owner and link.share_of_track >= LEAST_CONTAINED
        ]
        best = max(over, key=lambda link: (link.cells, -link.region), default=None)
        if best is not None:
            merges.append(Merge(candidate.track.id, known[owner[best.region]].track.id))
    return tuple(merges)


def _is_out_of_sight(sighting: Sighting, visible_cells: int) -> bool:
    cell_msh = 1e6 / (2.0 * np.pi) / _CELLS_PER_RADIUS**2
    return visible_cells * cell_msh < _OUT_OF_SIGHT * max(sighting.area_msh, cell_msh)
