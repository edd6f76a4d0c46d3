"""How the simulated corona looks in each of AIA's channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Channel:
    """What one channel shows of the corona; brightness is relative to the quiet Sun at disk centre.

    Attributes
    ----------
    dn_per_s, exposure_time_s : float
        Of the quiet Sun at disk centre: medians of quiet disks.
    dn_per_photon : float
        Boerner et al. 2012, Solar Phys. 275, 41, table 6.
    hair, large, mottle, network : float
        Contrast of the quiet corona's textures, in the exponent of brightness.
    points, warm, hot, plage : float
        Light that bright points and the loops and feet of active regions add.
    filament, hole : float
        How dark a filament is, in the exponent; the share of light that a coronal hole leaves.
    limb : float
        How weakly the disk brightens to its limb: by (1 + limb) / (mu + limb).
    scale_height : float
        In solar radii, of the fall beyond the limb.
    off_limb : float
        Brightness just beyond the limb over that just inside.
    """

    dn_per_s: float
    exposure_time_s: float
    dn_per_photon: float
    hair: float
    large: float
    mottle: float
    network: float
    points: float
    filament: float
    hole: float
    warm: float
    hot: float
    plage: float
    limb: float
    scale_height: float
    off_limb: float


#: By wavelength in angstroms.
CHANNELS: Mapping[int, Channel] = {
    94: Channel(
        dn_per_s=0.7,
        exposure_time_s=2.9,
        dn_per_photon=2.128,
        hair=0.25,
        large=0.35,
        mottle=0.12,
        network=0.0,
        points=1.0,
        filament=0.15,
        hole=0.55,
        warm=0.5,
        hot=1.9,
        plage=0.0,
        limb=0.65,
        scale_height=0.085,
        off_limb=0.9,
    ),
    131: Channel(
        dn_per_s=4.5,
        exposure_time_s=2.9,
        dn_per_photon=1.523,
        hair=0.28,
        large=0.30,
        mottle=0.30,
        network=0.25,
        points=1.5,
        filament=0.30,
        hole=0.60,
        warm=1.1,
        hot=0.7,
        plage=0.3,
        limb=0.75,
        scale_height=0.045,
        off_limb=0.8,
    ),
    171: Channel(
        dn_per_s=85.0,
        exposure_time_s=2.0,
        dn_per_photon=1.168,
        hair=0.26,
        large=0.25,
        mottle=0.30,
        network=0.20,
        points=1.8,
        filament=0.45,
        hole=0.52,
        warm=1.25,
        hot=0.30,
        plage=0.2,
        limb=0.62,
        scale_height=0.046,
        off_limb=1.0,
    ),
    193: Channel(
        dn_per_s=105.0,
        exposure_time_s=2.0,
        dn_per_photon=1.024,
        hair=0.30,
        large=0.36,
        mottle=0.10,
        network=0.03,
        points=2.6,
        filament=0.50,
        hole=0.20,
        warm=0.62,
        hot=0.95,
        plage=0.0,
        limb=0.60,
        scale_height=0.078,
        off_limb=1.0,
    ),
    211: Channel(
        dn_per_s=38.0,
        exposure_time_s=2.9,
        dn_per_photon=0.946,
        hair=0.34,
        large=0.42,
        mottle=0.06,
        network=0.0,
        points=1.8,
        filament=0.42,
        hole=0.09,
        warm=0.45,
        hot=1.20,
        plage=0.0,
        limb=0.60,
        scale_height=0.076,
        off_limb=1.0,
    ),
    304: Channel(
        dn_per_s=14.0,
        exposure_time_s=2.9,
        dn_per_photon=0.658,
        hair=0.05,
        large=0.10,
        mottle=0.26,
        network=0.85,
        points=1.1,
        filament=0.45,
        hole=0.72,
        warm=0.30,
        hot=0.10,
        plage=1.5,
        limb=2.2,
        scale_height=0.016,
        off_limb=0.8,
    ),
    335: Channel(
        dn_per_s=3.0,
        exposure_time_s=2.9,
        dn_per_photon=0.596,
        hair=0.28,
        large=0.45,
        mottle=0.10,
        network=0.0,
        points=1.2,
        filament=0.30,
        hole=0.28,
        warm=0.35,
        hot=1.70,
        plage=0.2,
        limb=0.60,
        scale_height=0.11,
        off_limb=0.95,
    ),
}
