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
* Near the limb gaps open and close by perspective: there nothing is recorded, and a piece that comes
  off is a track of its own that names its parent.
* What leaves over the west limb ends there. A region that returns after half a rotation is a new
  track: on the far side nobody saw whether it was still the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from observatory.analysis import EventType, Region
from observatory.errors import UnusableInputError
from observatory.hemisphere import Cells, Hemisphere, shared_cells

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
#: Angle from the disk's centre beyond which no split or merge is recorded: at 70 degrees a gap of a
#: degree is a third as wide as at the centre, about a cell of the analysis grid.
OBLIQUE_DEG = 70.0
_OTHER_INSTRUMENT_DAYS = 0.5  # by how much nearer in time another channel's sighting must be to be preferred


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
    centroid_carrington_deg : tuple (longitude, latitude)
    """

    date_obs: datetime
    instrument: str
    rings_carrington_deg: tuple[NDArray[np.float64], ...]
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
    """

    assignments: tuple[Assignment, ...] = ()
    new: tuple[NewTrack, ...] = ()
    splits: tuple[Split, ...] = ()
    merges: tuple[Merge, ...] = ()
    revived: tuple[int, ...] = ()


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
    hemisphere = Hemisphere(observation.date_obs)
    tracked = [_cells(hemisphere, candidate.sighting) for candidate in known]
    drawn = [_cells(hemisphere, sighting) for sighting in observation.regions]
    links = _links(known, tracked, drawn)
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
        splits=tuple(
            Split(item.parent_id, item.region)
            for item in new
            if item.parent_id is not None and not _is_oblique(hemisphere, observation.regions[item.region])
        ),
        merges=tuple(
            merge
            for row, merge in _merges(known, links, chosen)
            if not _is_oblique(hemisphere, known[row].sighting)
        ),
        revived=tuple(
            c.track.id
            for c in known
            if c.track.merged_into is not None and c.track.id in by_track and not is_late
        ),
    )


def _cells(hemisphere: Hemisphere, sighting: Sighting) -> Cells:
    return hemisphere.cells(sighting.rings_carrington_deg, sighting.date_obs)


def _is_oblique(hemisphere: Hemisphere, sighting: Sighting) -> bool:
    angle = hemisphere.angle_from_centre_deg(sighting.centroid_carrington_deg, sighting.date_obs)
    return angle > OBLIQUE_DEG


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
        return max(self.share_of_track, self.share_of_region)


def _links(known: Sequence[_Candidate], tracked: Sequence[Cells], regions: Sequence[Cells]) -> list[_Link]:
    links = []
    shared = shared_cells(tracked, regions)
    for row, number in zip(*(at.tolist() for at in np.nonzero(shared)), strict=True):
        cells = int(shared[row, number])
        link = _Link(row, number, cells, cells / len(tracked[row]), cells / len(regions[number]))
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
) -> list[tuple[int, Merge]]:
    """Tracks (rows) that no region is left for, because another track's region covers them."""
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
            merges.append((row, Merge(candidate.track.id, known[owner[best.region]].track.id)))
    return merges
