"""Names that every Heliowatch server knows without configuration."""

from __future__ import annotations

_AIA = (94, 131, 171, 193, 211, 304, 335, 1600, 1700, 4500)

INSTRUMENTS: dict[str, str] = {
    "kso-halpha": "Kanzelhöhe H-alpha full disks",
    "gong-halpha": "NSO/GONG H-alpha full disks",
    "bbso-halpha": "Big Bear H-alpha full disks",
    "halpha": "H-alpha full disks of any other telescope",
    "hmi-continuum": "SDO/HMI continuum intensity",
    "hmi-magnetogram": "SDO/HMI line-of-sight magnetograms",
    **{f"aia-{channel}": f"SDO/AIA {channel} Å" for channel in _AIA},
    "suvi-171": "GOES/SUVI 171 Å",
    "suvi-195": "GOES/SUVI 195 Å",
    "themis-asi": "THEMIS all-sky imagers",
    "rego": "REGO red-line all-sky imagers",
    "trex-rgb": "TREx colour all-sky imagers",
    "trex-nir": "TREx near-infrared all-sky imagers",
    "trex-blue": "TREx blue-line all-sky imagers",
    "rainbow": "RAINBOW all-sky cameras",
    "allsky": "all-sky frames of any other camera",
}

CAUSES = (
    "cloud",
    "thin_cloud",
    "contrail",
    "seeing",
    "defocus",
    "overexposed",
    "underexposed",
    "occultation",
    "eclipse",
    "off_centre",
    "tracking",
    "frozen",
    "dust",
    "missing_data",
    "spikes",
    "moon_glare",
    "twilight",
    "dew_or_snow",
    "lens_cap",
    "no_target",
    "unknown",
)

STATUSES = ("received", "processing", "done", "rejected", "failed")

PRODUCTS: dict[str, str] = {
    "original": "the file that the frame came in",
    "preview": "a picture of the frame",
    "region-map": "the regions that were found, as a picture",
    "enhanced": "the frame deconvolved, with twice as many pixels each way, as FITS",
}
