"""Simulated all-sky stations: where they stand, and what they see on their horizons.

The places are near real stations, so that Sun, Moon and stars rise as they do there; lights and skylines
are made up. Sites for testing are kept from training.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from models.simulate.allsky_scene import Lamp, Skyline, Town
from observatory.sky import Site


@dataclass(frozen=True)
class SimulatedSite:
    """A station.

    Attributes
    ----------
    name : str
    site : Site
    dip_deg : float
        Of the magnetic field, 0 to 90.
    aurora : float
        How active its nights are, 0 to 1.
    towns : tuple of Town
    lamps : tuple of Lamp
    skyline : Skyline
    veil : float
        Stray light all over the sky, in natural skies.
    """

    name: str
    site: Site
    dip_deg: float
    aurora: float
    towns: tuple[Town, ...] = ()
    lamps: tuple[Lamp, ...] = ()
    skyline: Skyline = field(default_factory=Skyline)
    veil: float = 0.0

    @property
    def poleward(self) -> int:
        """1 where the nearer pole is in the north, -1 where in the south."""
        return 1 if self.site.latitude_deg >= 0 else -1


TRAINING_SITES = (
    SimulatedSite(
        "svalbard",
        Site(78.15, 16.04, 520.0),
        82.0,
        0.8,
        (Town(310.0, 22.0, 9.0, 5.0, 0.9),),
        (Lamp(0.5, 15.0, 300.0, 0.9),),
        Skyline(3.0, blocks=((265.0, 7.0, 15.0),), seed=4),
        0.4,
    ),
    SimulatedSite(
        "lapland",
        Site(67.37, 26.63, 180.0),
        77.0,
        0.7,
        (Town(165.0, 12.0, 7.0, 2.5, 0.7),),
        (),
        Skyline(1.0, 6.0, masts=((40.0, 25.0),), seed=11),
        0.2,
    ),
    SimulatedSite(
        "gillam",
        Site(56.38, -94.64, 140.0),
        80.0,
        0.7,
        (Town(70.0, 15.0, 8.0, 4.0, 0.8), Town(250.0, 8.0, 5.0, 1.0, 0.5)),
        (Lamp(1.0, 80.0, 120.0, 0.5),),
        Skyline(1.0, 3.0, masts=((120.0, 35.0), (300.0, 18.0)), seed=7),
    ),
    SimulatedSite(
        "arizona",
        Site(34.74, -111.42, 2361.0),
        60.0,
        0.0,
        (Town(330.0, 20.0, 10.0, 2.0, 0.8),),
        (),
        Skyline(2.0, 8.0, blocks=((95.0, 9.0, 20.0),), seed=3),
    ),
)
"""Stations whose nights a network may learn from."""

TESTING_SITES = (
    SimulatedSite(
        "iceland",
        Site(64.13, -21.0, 60.0),
        75.5,
        0.75,
        (Town(280.0, 30.0, 12.0, 8.0, 0.6),),
        (Lamp(0.0, 200.0, 200.0, 0.2),),
        Skyline(2.0, blocks=((20.0, 10.0, 12.0),), seed=9),
        0.8,
    ),
    SimulatedSite(
        "antarctica",
        Site(-69.0, 39.58, 20.0),
        64.0,
        0.8,
        (),
        (Lamp(2.0, 120.0, 400.0, 0.3),),
        Skyline(0.5, masts=((10.0, 40.0), (190.0, 30.0)), seed=2),
    ),
    SimulatedSite(
        "alaska",
        Site(65.12, -147.43, 500.0),
        77.0,
        0.7,
        (Town(210.0, 18.0, 9.0, 3.0, 0.4),),
        (),
        Skyline(1.5, 9.0, seed=13),
        0.3,
    ),
)
"""Stations of which no network has seen a night."""
