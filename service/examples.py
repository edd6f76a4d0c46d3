"""What answers look like, for the published description. A test holds them against the shapes."""

from __future__ import annotations

from typing import Any

_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_NETWORK_SHA256 = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"

FRAME: dict[str, Any] = {
    "id": 4711,
    "instrument": "kso-halpha",
    "observatory": "Kanzelhöhe",
    "date_obs": "2026-11-20T09:14:06.120000Z",
    "date_obs_source": "header",
    "wavelength_nm": 656.28,
    "exposure_time_s": 0.0025,
    "is_simulated": False,
    "file_name": "kanz_halph_fi_20261120_091406.fts.gz",
    "sha256": _SHA256,
    "bytes": 4210688,
    "status": "done",
    "reason": None,
    "priority": "live",
    "received_at": "2026-11-20T09:14:08.402000Z",
    "processed_at": "2026-11-20T09:14:08.447000Z",
    "latency_s": 0.061,
    "mark": None,
    "frame": 0,
    "quality": {
        "score": 0.31,
        "p_value": 0.002,
        "is_degraded": True,
        "causes": [{"cause": "cloud", "probability": 0.94}],
        "model": "halpha-quality 1.0.0",
    },
    "sky": None,
    "links": {
        "self": "/api/v1/frames/4711",
        "results": "/api/v1/frames/4711/results",
        "products": "/api/v1/frames/4711/products",
        "preview": "/api/v1/products/8123/data",
    },
}
FRAMES = {"items": [FRAME], "next": "/api/v1/frames?cursor=ZDE3NjM2Mjk2NDYxMjAwMDA6NDcxMQ"}
FRAME_DETAIL = FRAME | {"arrivals": 1, "attempts": 1}
PRODUCT = {
    "id": 8123,
    "frame_id": 4711,
    "kind": "preview",
    "media_type": "image/jpeg",
    "sha256": _SHA256,
    "bytes": 61440,
    "width": 1024,
    "height": 1024,
    "created_at": "2026-11-20T09:14:08.447000Z",
    "links": {"data": "/api/v1/products/8123/data", "preview": "/api/v1/products/8123/preview"},
}
PRODUCTS = {"items": [PRODUCT]}
INSTRUMENTS = {
    "items": [
        {
            "name": "kso-halpha",
            "family": "halpha",
            "kind": "kso-halpha",
            "is_configured": True,
            "cadence_s": 6.0,
            "frames": 15302,
            "done": 15290,
            "waiting": 2,
            "rejected": 10,
            "failed": 0,
            "degraded": 4180,
            "last_date_obs": "2026-11-20T09:14:06.120000Z",
            "last_received_at": "2026-11-20T09:14:08.402000Z",
            "links": {
                "frames": "/api/v1/frames?instrument=kso-halpha",
                "latest": "/api/v1/latest/kso-halpha.json",
            },
        }
    ]
}
QUALITY = {
    "bin_s": 300,
    "is_truncated": False,
    "items": [
        {
            "time": "2026-11-20T09:10:00Z",
            "instrument": "kso-halpha",
            "frames": 50,
            "score": 0.87,
            "score_min": 0.31,
            "score_max": 0.98,
            "degraded": 4,
        }
    ],
}
_LEDGER_OF_A_DAY = {
    "start": "2026-11-20T00:00:00Z",
    "end": "2026-11-21T00:00:00Z",
    "expected": 540,
    "received": 531,
    "usable": 488,
    "waiting": 0,
    "unusable": 43,
    "frozen": 0,
    "missing": 9,
    "extra": 0,
    "frames": 531,
    "excused": {"night": 900, "eclipse": 0, "maintenance": 0, "weather": 0},
    "ratio": {"received": 0.983333, "usable": 0.903704, "missing": 0.016667},
}
COVERAGE = {
    "start": "2026-11-20T00:00:00Z",
    "end": "2026-11-21T00:00:00Z",
    "bin_s": None,
    "items": [
        {
            "instrument": "kso-halpha",
            "cadence_s": 60.0,
            "is_cadence_learned": False,
            **_LEDGER_OF_A_DAY,
            "undated": 0,
            "gaps": {"missing": 2, "night": 2, "eclipse": 0, "maintenance": 0, "weather": 0},
            "lateness_s": {"p50": 1.9, "p95": 2.6, "p99": 8.4},
            "due": "2026-11-20T14:59:00Z",
            "bins": None,
        }
    ],
}
GAPS = {
    "start": "2026-11-20T00:00:00Z",
    "end": "2026-11-21T00:00:00Z",
    "is_truncated": False,
    "items": [
        {
            "instrument": "kso-halpha",
            "start": "2026-11-20T10:17:00Z",
            "end": "2026-11-20T10:24:00Z",
            "length_s": 420.0,
            "frames_lost": 7,
            "state": "missing",
            "is_open": False,
        }
    ],
}
REGION: dict[str, Any] = {
    "id": 301,
    "frame_id": 4712,
    "track_id": 12,
    "instrument": "aia-193",
    "date_obs": "2026-11-20T09:14:04.840000Z",
    "event_type": "CH",
    "event_starttime": "2026-11-20T09:14:04.840",
    "event_endtime": "2026-11-20T09:14:06.840",
    "event_probability": 0.91,
    "event_coordsys": "UTC-HPC-TOPO",
    "event_coordunit": "arcsec,arcsec",
    "event_coord1": -120.5,
    "event_coord2": 604.0,
    "area_atdiskcenter": 61000.0,
    "area_atdiskcenter_mm2": 61000.0,
    "area_raw": 47136.5,
    "area_unit": "Mm2",
    "area_msh": 20059.2,
    "disk_fraction": 0.031,
    "event_npixels": 251000,
    "event_pixelunit": "pixels",
    "hpc_x": -120.5,
    "hpc_y": 604.0,
    "hpc_coord": "POINT(-120.5000 604.0000)",
    "hpc_boundcc": "POLYGON((-220.000 540.000,-20.000 540.000,-120.000 680.000,-220.000 540.000))",
    "hgs_x": -9.4,
    "hgs_y": 40.1,
    "hgs_coord": "POINT(-9.4000 40.1000)",
    "hgc_x": 212.3,
    "hgc_y": 40.1,
    "hgc_coord": "POINT(212.3000 40.1000)",
    **dict.fromkeys(("hpc_bbox", "hgs_boundcc", "hgs_bbox", "hgc_boundcc", "hgc_bbox")),
    **{"boundbox_c1ll": -220.0, "boundbox_c2ll": 540.0, "boundbox_c1ur": -20.0, "boundbox_c2ur": 680.0},
    **{"bound_ccnsteps": 3, "bound_ccstartc1": -220.0, "bound_ccstartc2": 540.0},
    "bound_chaincode": "-220.00,540.00,-20.00,540.00,-120.00,680.00,-220.00,540.00",
    "chaincodetype": "ordered list",
    **{"intensmin": 11.5, "intensmax": 71.0, "intensmean": 38.2, "intensmedian": 37.4},
    "intensvar": 90.25,
    "intensunit": None,
    "frm_name": "Heliowatch aia-segmentation",
    "frm_versionnumber": "1.0.0",
    "frm_paramset": "threshold=medium",
    "frm_identifier": "heliowatch",
    "frm_humanflag": "F",
    "frm_specificid": "12",
    "obs_observatory": "SDO",
    "obs_instrument": "aia-193",
    "obs_channelid": "193",
    "obs_meanwavel": 193.0,
    "obs_wavelunit": "Angstrom",
    "centroid_px": [1840.2, 3041.7],
    "centroid_hpc_arcsec": [-120.5, 604.0],
    "centroid_stonyhurst_deg": [-9.4, 40.1],
    "centroid_carrington_deg": [212.3, 40.1],
    "bounding_box_px": [1680.0, 2930.0, 2010.0, 3170.0],
    "area_px": 251000.0,
    "probability": 0.91,
    "threshold": "medium",
    **{"intensity_mean": 38.2, "intensity_median": 37.4, "intensity_min": 11.5, "intensity_max": 71.0},
    "intensity_std": 9.5,
    "rings_px": [[[1680.0, 2930.0], [2010.0, 2930.0], [1845.0, 3170.0]]],
    "rings_hpc_arcsec": None,
    "rings_carrington_deg": None,
    "model": {"name": "aia-segmentation", "version": "1.0.0", "sha256": _NETWORK_SHA256},
    "parameters_hash": _SHA256,
    "software_version": "0.1.0",
    "links": {
        "self": "/api/v1/regions/301",
        "frame": "/api/v1/frames/4712",
        "results": "/api/v1/frames/4712/results",
        "track": "/api/v1/regions/tracks/12",
    },
}
REGIONS = {"items": [REGION], "next": None}
AREAS = {
    "bin_s": None,
    "is_truncated": False,
    "items": [
        {
            "time": "2026-11-20T09:14:04.840000Z",
            "event_type": "CH",
            "instrument": "aia-193",
            "frame_id": 4712,
            "regions": 3,
            "disk_fraction": 0.048,
            "disk_fraction_conservative": 0.044,
            "disk_fraction_liberal": 0.053,
            "area_msh": 31200.0,
        }
    ],
}
ENHANCEMENTS = {
    "bin_s": None,
    "is_truncated": False,
    "items": [
        {
            "time": "2026-11-20T09:13:41.300000Z",
            "instrument": "hmi-continuum",
            "frame_id": 4713,
            "quantity": "continuum",
            "outcome": "enhanced",
            "reason": None,
            "contrast_before": 0.0362,
            "contrast_after": 0.0694,
            "unsigned_flux_before_mx": None,
            "unsigned_flux_after_mx": None,
            "residual": 0.0011,
            "noise": 0.0013,
            "trusted_fraction": 0.998,
        }
    ],
    "next": None,
}
SKY = {
    "bin_s": None,
    "is_truncated": False,
    "items": [
        {
            "time": "2026-11-20T21:14:06Z",
            "instrument": "themis-asi",
            "frame_id": 4714,
            "sky_class": "arc",
            "reason": None,
            "probabilities": {
                "arc": 0.87,
                "diffuse": 0.06,
                "discrete": 0.04,
                "cloud": 0.01,
                "moon": 0.01,
                "clear": 0.01,
            },
            "aurora_probability": 0.97,
            "cloud_cover": 0.06,
            "sun_elevation_deg": -31.2,
            "moon_elevation_deg": -12.7,
            "disturbance": {"x_nt": -214.0, "y_nt": 31.0, "z_nt": -87.0, "is_simulated": True},
        }
    ],
    "next": None,
}
ENHANCE: dict[str, Any] = {
    "frame": 4713,
    "field_of_view": {"x_arcsec": -120.0, "y_arcsec": 310.0, "width_arcsec": 200.0, "height_arcsec": 150.0},
}
CUTOUT = {
    "id": 7,
    "frame_id": 4713,
    "status": "waiting",
    "field_of_view": ENHANCE["field_of_view"],
    "created_at": "2026-11-20T09:20:02.120000Z",
    "links": {"self": "/api/v1/enhance/7", "frame": "/api/v1/frames/4713"},
}
TRACK = {
    "id": 12,
    "event_type": "CH",
    "first_seen": "2026-11-14T02:00:04.840000Z",
    "last_seen": "2026-11-20T09:14:04.840000Z",
    "sightings": 4210,
    "parent_id": None,
    "merged_into_id": None,
    "merged_at": None,
    "events": [],
    "is_truncated": False,
    "history": [
        {
            "region_id": 301,
            "frame_id": 4712,
            "instrument": "aia-193",
            "time": "2026-11-20T09:14:04.840000Z",
            "disk_fraction": 0.031,
            "area_msh": 20059.2,
            "longitude_deg": -9.4,
            "latitude_deg": 40.1,
            "carrington_longitude_deg": 212.3,
        }
    ],
    "links": {"self": "/api/v1/regions/tracks/12", "regions": "/api/v1/regions?track=12"},
}
COMPOSITE = {
    "id": 77,
    "look": "aia",
    "date_obs": "2026-11-20T09:14:04.840000Z",
    "status": "done",
    "reason": None,
    "is_complete": True,
    "revision": 1,
    "made_at": "2026-11-20T09:14:31.200000Z",
    "frames": [
        {
            "frame_id": 4712,
            "channel": "aia-193",
            "instrument": "aia-193",
            "date_obs": "2026-11-20T09:14:04.840000Z",
            "is_degraded": False,
            "quality_score": 0.97,
            "sha256": _SHA256,
            "frame_index": 0,
            "file_name": "aia_20261120T091404_193.fits",
        }
    ],
    "pictures": [
        {
            "id": 231,
            "kind": "composite-1024",
            "media_type": "image/jpeg",
            "sha256": _SHA256,
            "bytes": 310200,
            "width": 1024,
            "height": 1024,
            "links": {"data": "/api/v1/composites/pictures/231/data"},
        }
    ],
    "payload": {"frame_ids": [4712]},
    "links": {"self": "/api/v1/composites/77", "picture": "/api/v1/composites/pictures/231/data"},
}
COMPOSITES = {"items": [COMPOSITE], "next": None}
STATUS = {
    "time": "2026-11-20T09:14:10Z",
    "version": "0.1.0",
    "frames": {"received": 2, "processing": 1, "done": 15290, "rejected": 10, "failed": 0},
    "queues": [
        {
            "queue": "halpha.live",
            "family": "halpha",
            "priority": "live",
            "waiting": 2,
            "oldest_age_s": 0.4,
        },
        {
            "queue": "reprocessing",
            "family": None,
            "priority": None,
            "waiting": 15290,
            "oldest_age_s": 61.5,
        },
    ],
    "workers": [
        {
            "name": "worker@dome-1f3a",
            "role": "worker",
            "started_at": "2026-11-20T06:00:00Z",
            "seen_at": "2026-11-20T09:14:09Z",
            "facts": {"version": "0.1.0"},
        }
    ],
    "last_event": 41873,
    "listeners": 3,
}
MODELS = {
    "items": [
        {
            "name": "halpha-quality",
            "version": "1.0.0",
            "sha256": _NETWORK_SHA256,
            "is_running": True,
            "workers": 2,
            "providers": ["CPUExecutionProvider"],
            "has_results": True,
            "role": "live",
            "golden": [
                {
                    "ratio": 1.0,
                    "is_good": True,
                    "checked_at": "2026-11-20T06:00:12.310000Z",
                    "instrument": None,
                }
            ],
            "drift": [
                {
                    "ratio": 0.08,
                    "is_good": True,
                    "checked_at": "2026-11-20T09:10:01.120000Z",
                    "instrument": "kso-halpha",
                }
            ],
            "shadow": None,
        }
    ]
}
RESULT: dict[str, Any] = {
    "id": 9001,
    "analysis": "quality",
    "is_current": True,
    "model": {"name": "halpha_quality", "version": "1.0.1", "sha256": _NETWORK_SHA256},
    "parameters_hash": _SHA256,
    "parameters": {"side": 128, "preparation": "flattened"},
    "software_version": "0.1.0",
    "created_at": "2026-11-20T09:14:08.447000Z",
    "payload": {"score": 0.31, "is_degraded": True, "p_value": 0.002, "measures": {"content_loss": 0.69}},
    "lineage": {
        "frame": {
            "id": 4711,
            "sha256": _SHA256,
            "frame_index": 0,
            "file_name": "kanz_halph_fi_20261120_091406.fts.gz",
            "instrument": "kso-halpha",
            "date_obs": "2026-11-20T09:14:06.120000Z",
        }
    },
    "links": {
        "self": "/api/v1/results/9001",
        "prov": "/api/v1/results/9001/prov",
        "frame": "/api/v1/frames/4711",
    },
}
RESULTS = {"as_of": None, "items": [RESULT], "composites": []}
PROV = {
    "prefix": {"hw": "/api/v1/"},
    "entity": {
        "hw:results/9001": {"prov:type": "result", "hw:analysis": "quality"},
        "hw:frames/4711": {"prov:type": "frame", "hw:sha256": _SHA256},
        f"hw:models/{_NETWORK_SHA256}": {"prov:type": "model", "hw:name": "halpha_quality"},
    },
    "activity": {"hw:runs/9001": {"prov:type": "quality", "prov:endTime": "2026-11-20T09:14:08.447000Z"}},
    "agent": {"hw:software/0.1.0": {"prov:type": "prov:SoftwareAgent", "hw:name": "heliowatch"}},
    "used": {"_:used-frame": {"prov:activity": "hw:runs/9001", "prov:entity": "hw:frames/4711"}},
    "wasGeneratedBy": {"_:generated": {"prov:entity": "hw:results/9001", "prov:activity": "hw:runs/9001"}},
    "wasAssociatedWith": {"_:software": {"prov:activity": "hw:runs/9001", "prov:agent": "hw:software/0.1.0"}},
    "wasDerivedFrom": {
        "_:derived": {"prov:generatedEntity": "hw:results/9001", "prov:usedEntity": "hw:frames/4711"}
    },
}
JOB: dict[str, Any] = {
    "id": 12,
    "author": "pipeline",
    "filters": {"instrument": "kso-halpha", "time": "2026-11-20T00:00:00Z/2026-11-21T00:00:00Z"},
    "model": None,
    "status": "running",
    "frames": 8640,
    "waiting": 8000,
    "working": 4,
    "done": 634,
    "failed": 2,
    "created_at": "2026-11-20T09:00:00Z",
    "finished_at": None,
    "failures": [{"frame_id": 17, "reason": "sun.fits could not be opened: No such file or directory"}],
    "links": {"self": "/api/v1/reprocess/12"},
}
JOBS = {"items": [JOB]}
