"""The columns of every list that can be had as a table: names, units, and what IVOA calls them."""

from __future__ import annotations

from observatory.analysis import SkyClass
from observatory.storage.catalogue import TABLE_COLUMNS
from service.tables import Column

_FRAME_COLUMNS = {
    column.name: column
    for column in (
        Column("id", "integer", "Number of the frame", ucd="meta.id;meta.main"),
        Column("instrument", "text", "Instrument", ucd="meta.id;instr"),
        Column("observatory", "text", "Observatory", ucd="meta.id;instr.obsty"),
        Column("date_obs", "time", "Start of the exposure, UTC", ucd="time.start;obs"),
        Column("date_obs_source", "text", "What told that time: header, file name, file time or none"),
        Column("frame", "integer", "Place of the frame inside its file, from 0"),
        Column("wavelength_nm", "number", "Wavelength", "nm", "em.wl"),
        Column("exposure_time_s", "number", "Exposure", "s", "time.duration;obs.exposure"),
        Column("is_simulated", "boolean", "Whether a simulator made it"),
        Column("file_name", "text", "Name of the file", ucd="meta.id;meta.file"),
        Column("sha256", "text", "SHA-256 of the file's bytes"),
        Column("bytes", "integer", "Size of the file", "byte", "phys.size;meta.file"),
        Column("status", "text", "received, processing, done, rejected or failed", ucd="meta.code.status"),
        Column("reason", "text", "Why it was rejected or failed", ucd="meta.note"),
        Column("priority", "text", "live or backfill"),
        Column("received_at", "time", "When it arrived, UTC", ucd="time"),
        Column("processed_at", "time", "When its result was there, UTC", ucd="time.processing"),
        Column("latency_s", "number", "From the file closed to the result", "s", "time.duration"),
        Column("score", "number", "Quality, 0 to 1, 1 is best", ucd="meta.code.qual"),
        Column("p_value", "number", "Share of good frames at least as bad", ucd="stat.probability"),
        Column("is_degraded", "boolean", "Whether it is of little use", ucd="meta.code.qual"),
        Column("causes", "text", "What spoils it, the likeliest first"),
        Column("model", "text", "What judged it", ucd="meta.id;meta.software"),
        Column("mark", "text", "A human's word: good or bad", ucd="meta.code.qual"),
        Column("sky_class", "text", "What an all-sky frame shows", ucd="meta.code.class"),
    )
}
FRAMES = tuple(_FRAME_COLUMNS[name] for name in TABLE_COLUMNS)

_TIME = Column("time", "time", "Start of the exposure, UTC", ucd="time.start;obs")
_BIN_START = Column("time", "time", "Start of the bin, UTC", ucd="time.start")
_INSTRUMENT = Column("instrument", "text", "Instrument", ucd="meta.id;instr")
_EVENT_TYPE = Column("event_type", "text", "CH coronal hole, AR active region", ucd="meta.code.class")
_FRAME = Column("frame_id", "integer", "Number of the frame", ucd="meta.id")
_BINNED_FRAMES = Column("frames", "integer", "Frames in the bin", ucd="meta.number")

SCORES = (
    _TIME,
    _INSTRUMENT,
    Column("id", "integer", "Number of the frame", ucd="meta.id"),
    Column("score", "number", "Quality, 0 to 1, 1 is best", ucd="meta.code.qual"),
    Column("is_degraded", "boolean", "Whether it is of little use", ucd="meta.code.qual"),
)
BINNED_SCORES = (
    _BIN_START,
    _INSTRUMENT,
    _BINNED_FRAMES,
    Column("score", "number", "Mean of the quality, 0 to 1, 1 is best", ucd="meta.code.qual;stat.mean"),
    Column("score_min", "number", "Least of it", ucd="meta.code.qual;stat.min"),
    Column("score_max", "number", "Greatest of it", ucd="meta.code.qual;stat.max"),
    Column("degraded", "integer", "Frames in the bin that are of little use", ucd="meta.number"),
)

_SHARE = Column("disk_fraction", "number", "Share of the visible disk", ucd="phys.area;arith.ratio")
_AREA = Column("area_msh", "number", "Area in millionths of the solar hemisphere", ucd="phys.area")
AREAS = (
    _TIME,
    _EVENT_TYPE,
    _INSTRUMENT,
    _FRAME,
    Column("regions", "integer", "Regions in the frame", ucd="meta.number"),
    _SHARE,
    Column("disk_fraction_conservative", "number", "The same, of what is sure", ucd="phys.area;stat.min"),
    Column("disk_fraction_liberal", "number", "The same, with what may be", ucd="phys.area;stat.max"),
    _AREA,
)
BINNED_AREAS = (
    _BIN_START,
    _EVENT_TYPE,
    _INSTRUMENT,
    _BINNED_FRAMES,
    Column("regions", "number", "Mean number of regions in a frame", ucd="meta.number;stat.mean"),
    Column("disk_fraction", "number", "Mean share of the visible disk", ucd="phys.area;stat.mean"),
    Column("disk_fraction_min", "number", "Least of it", ucd="phys.area;stat.min"),
    Column("disk_fraction_max", "number", "Greatest of it", ucd="phys.area;stat.max"),
    Column(
        "area_msh", "number", "Mean area in millionths of the solar hemisphere", ucd="phys.area;stat.mean"
    ),
)

_CONTRAST = "phot.flux.density;stat.stdev;arith.ratio"
_FLUX = "phys.magField;stat.value"
_ENHANCED = {
    "contrast_before": ("Granulation contrast, rms over mean of the quiet Sun", "", _CONTRAST),
    "contrast_after": ("The same, enhanced", "", _CONTRAST),
    "unsigned_flux_before_mx": ("Unsigned magnetic flux in maxwell", "10**-8Wb", _FLUX),
    "unsigned_flux_after_mx": ("The same, enhanced", "10**-8Wb", _FLUX),
    "residual": ("Rms of input minus result degraded again: quiet Sun is 1, or kG", "", "stat.fit.residual"),
    "noise": ("Rms noise of the input, the same unit", "", "stat.stdev"),
    "trusted_fraction": ("Share of pixels whose trust is 0.5 and more", "", "stat.fit.goodness"),
}
ENHANCEMENTS = (
    _TIME,
    _INSTRUMENT,
    _FRAME,
    Column("quantity", "text", "continuum or field", ucd="meta.code.class"),
    Column("outcome", "text", "enhanced, refused or skipped", ucd="meta.code.status"),
    Column("reason", "text", "Why it was refused or skipped", ucd="meta.note"),
    *(Column(name, "number", *words) for name, words in _ENHANCED.items()),
)
BINNED_ENHANCEMENTS = (
    _BIN_START,
    _INSTRUMENT,
    _BINNED_FRAMES,
    *(
        Column(name, "number", f"Mean. {words}", unit, f"{ucd};stat.mean")
        for name, (words, unit, ucd) in _ENHANCED.items()
    ),
)

_PROBABILITY = "stat.probability"
_CLASSES = {
    f"probability_{name}": (f"Probability of {name}, calibrated", "", _PROBABILITY) for name in SkyClass
}
_SKY = _CLASSES | {
    "aurora_probability": ("Probability of arc, diffuse and discrete together", "", _PROBABILITY),
    "cloud_cover": ("Share of the visible sky that is cloudy", "", "phys.area;arith.ratio;obs.atmos"),
}
_SKY_CLASS = "arc, diffuse, discrete, cloud, moon or clear"
_TOLD_FIELD = "phys.magField;stat.fit"
SKIES = (
    _TIME,
    _INSTRUMENT,
    _FRAME,
    Column("sky_class", "text", _SKY_CLASS, ucd="meta.code.class"),
    Column("reason", "text", "Why the sky cannot be judged", ucd="meta.note"),
    *(Column(name, "number", *words) for name, words in _SKY.items()),
    Column("sun_elevation_deg", "number", "Height of the Sun, without refraction", "deg", "pos.az.alt"),
    Column("moon_elevation_deg", "number", "Height of the Moon, without refraction", "deg", "pos.az.alt"),
    Column("disturbance_x_nt", "number", "Told from the sky: north", "nT", _TOLD_FIELD),
    Column("disturbance_y_nt", "number", "The same: east", "nT", _TOLD_FIELD),
    Column("disturbance_z_nt", "number", "The same: down", "nT", _TOLD_FIELD),
    Column("disturbance_is_simulated", "boolean", "Whether the model learned from a simulated magnetometer"),
)
BINNED_SKIES = (
    _BIN_START,
    _INSTRUMENT,
    _BINNED_FRAMES,
    Column("sky_class", "text", f"The commonest of {_SKY_CLASS}", ucd="meta.code.class"),
    Column("aurora_occurrence", "number", "Share of the frames that show aurora", ucd="stat.probability"),
    *(
        Column(name, "number", f"Mean. {words}", unit, f"{ucd};stat.mean")
        for name, (words, unit, ucd) in _SKY.items()
    ),
)

_LONGITUDE, _LATITUDE = "pos.bodyrc.lon", "pos.bodyrc.lat"
REGIONS = (
    Column("id", "integer", "Number of the region", ucd="meta.id;meta.main"),
    _FRAME,
    Column("track_id", "integer", "Number of its track, the same from frame to frame", ucd="meta.id"),
    _INSTRUMENT,
    Column("date_obs", "time", "Start of the exposure, UTC", ucd="time.start;obs"),
    _EVENT_TYPE,
    Column("number", "integer", "1 is the largest of its frame and type"),
    _SHARE,
    Column("area_px", "number", "Area as seen", "pixel", "phys.area"),
    _AREA,
    Column("area_atdiskcenter_mm2", "number", "Area, foreshortening corrected", "Mm**2", "phys.area"),
    Column("probability", "number", "Mean probability inside", ucd="stat.probability"),
    Column("hpc_x_arcsec", "number", "Centre, helioprojective west", "arcsec", "pos.cartesian.x"),
    Column("hpc_y_arcsec", "number", "Centre, helioprojective north", "arcsec", "pos.cartesian.y"),
    Column("stonyhurst_longitude_deg", "number", "Centre, Stonyhurst longitude", "deg", _LONGITUDE),
    Column("stonyhurst_latitude_deg", "number", "Centre, heliographic latitude", "deg", _LATITUDE),
    Column("carrington_longitude_deg", "number", "Centre, Carrington longitude", "deg", _LONGITUDE),
    Column("carrington_latitude_deg", "number", "Centre, heliographic latitude", "deg", _LATITUDE),
    Column("centroid_x_px", "number", "Centre, 0-based column", "pixel", "pos.cartesian.x;instr.det"),
    Column("centroid_y_px", "number", "Centre, 0-based row", "pixel", "pos.cartesian.y;instr.det"),
    Column("intensity_mean", "number", "Mean of the frame's pixels inside", ucd="phot.count;stat.mean"),
    Column("intensity_median", "number", "Median of them", ucd="phot.count;stat.median"),
    Column("intensity_min", "number", "Least of them", ucd="phot.count;stat.min"),
    Column("intensity_max", "number", "Greatest of them", ucd="phot.count;stat.max"),
    Column("intensity_std", "number", "Deviation of them", ucd="phot.count;stat.stdev"),
    Column("model_name", "text", "Model that found it", ucd="meta.id;meta.software"),
    Column("model_version", "text", "Its version", ucd="meta.version;meta.software"),
    Column("file_name", "text", "Name of the frame's file", ucd="meta.id;meta.file"),
)

COMPOSITES = (
    Column("id", "integer", "Number of the composite", ucd="meta.id;meta.main"),
    Column("look", "text", "Which channels, mixed how"),
    Column("date_obs", "time", "Start of the earliest exposure, UTC", ucd="time.start;obs"),
    Column("is_complete", "boolean", "Whether no channel is missing"),
    Column("revision", "integer", "How often it was made", ucd="meta.version"),
    Column("made_at", "time", "When, UTC", ucd="time.processing"),
    Column("frames", "text", "Its frames: channel:number, by channel"),
    Column("picture", "text", "Address of its picture", ucd="meta.ref.url"),
    Column("width", "integer", "Width of the picture", "pixel"),
    Column("height", "integer", "Height of the picture", "pixel"),
)

_COUNTED = {
    "expected": "Frames that were to be expected",
    "received": "Of those, came",
    "usable": "Of those, are of use",
    "waiting": "Came and are not judged yet",
    "unusable": "Came and are degraded, rejected, failed or marked bad",
    "frozen": "Brought the bytes of a former frame again",
    "missing": "Did not come, and nothing excuses it",
    "extra": "Came when none was expected",
    "frames": "All that came, two of one moment counted twice",
}
_EXCUSED = {
    "night": "Not expected: night (for a camera of the night: day)",
    "eclipse": "Not expected: the Earth hid the Sun",
    "maintenance": "Not expected: maintenance",
    "weather": "Not expected: closed for weather",
}
LEDGERS = (
    Column("start", "time", "Begin of the span, UTC", ucd="time.start"),
    Column("end", "time", "End of the span, UTC", ucd="time.end"),
    _INSTRUMENT,
    Column("cadence_s", "number", "Time from frame to frame", "s", "time.interval"),
    Column("is_cadence_learned", "boolean", "Whether it was learned from the frames"),
    *(Column(name, "integer", words, ucd="meta.number") for name, words in _COUNTED.items()),
    *(Column(f"excused_{name}", "integer", words, ucd="meta.number") for name, words in _EXCUSED.items()),
)
GAPS = (
    _INSTRUMENT,
    Column("start", "time", "When the first lost frame was due, UTC", ucd="time.start"),
    Column("end", "time", "When the next frame came or was due, UTC", ucd="time.end"),
    Column("length_s", "number", "From start to end", "s", "time.duration"),
    Column("frames_lost", "integer", "Frames that were to be expected", ucd="meta.number"),
    Column("state", "text", "missing, or what excuses it", ucd="meta.code"),
    Column("is_open", "boolean", "Whether it goes on"),
)

__all__ = [
    "AREAS",
    "BINNED_AREAS",
    "BINNED_ENHANCEMENTS",
    "BINNED_SCORES",
    "BINNED_SKIES",
    "COMPOSITES",
    "ENHANCEMENTS",
    "FRAMES",
    "GAPS",
    "LEDGERS",
    "REGIONS",
    "SCORES",
    "SKIES",
]
