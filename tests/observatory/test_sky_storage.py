"""What is kept of skies: one row a frame, written with its result, and features that can be read again."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from observatory.alerts.facts import Judged
from observatory.alerts.memory import number_of
from observatory.analysis import Disturbance, SkyClass, SkyFacts
from observatory.fisheye import Fisheye, Projection
from observatory.storage import alert_facts, past_facts, products, reprocess, results, schema, skies
from observatory.storage.results import NewRun
from observatory.storage.session import Database
from observatory.storage.skies import sky_payload
from tests.stored_skies import (
    FELT,
    LENS,
    MIDNIGHT,
    NETWORK,
    SITE,
    STATION,
    disturbance,
    run_of,
    sky,
    stored,
)


def row_of(db: Database, frame_id: int) -> dict[str, Any]:
    (found,) = skies.of_frames(db, [frame_id]).values()
    return found


def test_a_payload_keeps_six_digits_and_what_is_hidden_is_null() -> None:
    payload = sky_payload(sky(SkyClass.ARC, cloud_sectors=np.r_[np.nan, np.full(32, 1 / 3)]))
    assert payload["sky_class"] == "arc"
    assert list(payload["probabilities"]) == [name.value for name in SkyClass]
    assert sum(payload["probabilities"].values()) == pytest.approx(1.0, abs=1e-5)
    assert payload["cloud_sectors"][:2] == [None, 0.333333]
    assert payload["sun_elevation_deg"] == -31.25
    assert payload["model"] == "aurora 1.0.0"


def test_a_sky_is_told_of_its_frame_once_its_result_is_there(db: Database) -> None:
    frame_id = stored(db, 1, sky(SkyClass.DIFFUSE), disturbance())
    told = row_of(db, frame_id)
    assert told["sky_class"] == "diffuse"
    assert told["probabilities"]["diffuse"] == pytest.approx(0.75)
    assert told["aurora_probability"] == pytest.approx(0.85)
    assert told["moon_illuminated"] == 0.5
    assert told["disturbance"] == {
        "x_nt": -321.5,
        "y_nt": 12.25,
        "z_nt": -88.0,
        "is_simulated": True,
        "model": "disturbance-gill 1.0.0",
    }
    with db.read() as connection:
        of = schema.frames.c
        assert connection.execute(select(of.sky_class).where(of.id == frame_id)).scalar() == "diffuse"


def test_a_sky_that_cannot_be_judged_is_kept_with_its_reason(db: Database) -> None:
    frame_id = stored(db, 1, sky(None))
    told = row_of(db, frame_id)
    assert told["sky_class"] is None
    assert told["reason"] == "daylight"
    assert told["probabilities"] == {}
    assert told["aurora_probability"] is None


def test_the_event_of_a_result_tells_the_sky_in_short(db: Database) -> None:
    stored(db, 1, sky(SkyClass.CLOUD))
    with db.read() as connection:
        events = connection.execute(select(schema.events.c.payload).order_by(schema.events.c.seq)).scalars()
        said = [payload["sky"] for payload in events if "sky" in payload]
    assert [(one["sky_class"], one["cloud_cover"]) for one in said] == [("cloud", 0.25)]


def test_features_come_back_in_the_order_of_time_with_all_that_belongs_to_them(db: Database) -> None:
    for number in (3, 1, 2):
        values = np.linspace(-1.0, number, 8, dtype=np.float32)
        stored(db, number, sky(SkyClass.ARC, features=values))
    stored(db, 9, sky(SkyClass.ARC), date_obs=None)
    rows = list(skies.features(db, "themis-asi", page=2))
    assert [row.time for row in rows] == [MIDNIGHT + timedelta(seconds=3 * n) for n in (1, 2, 3)]
    assert [row.features[-1] for row in rows] == [1.0, 2.0, 3.0]
    assert rows[0].features.dtype == np.float32
    assert rows[0].site == SITE
    assert (rows[0].file_name, rows[0].sha256, rows[0].frame_index) == ("1.pgm", f"{1:064x}", 0)
    assert rows[0].sky_class is SkyClass.ARC
    assert rows[0].model_sha256 == NETWORK.sha256
    assert np.isnan(rows[0].cloud_sectors[-1])


def test_features_are_given_of_half_open_ranges_and_one_instrument(db: Database) -> None:
    for number in range(4):
        stored(db, number, sky(SkyClass.CLEAR))
    stored(db, 7, sky(SkyClass.CLEAR), instrument="rego")
    first, last = MIDNIGHT + timedelta(seconds=3), MIDNIGHT + timedelta(seconds=9)
    assert [row.time for row in skies.features(db, "themis-asi", first, last)] == [
        first,
        MIDNIGHT + timedelta(seconds=6),
    ]
    assert len(list(skies.features(db, "themis-asi"))) == 4
    for page in (1, 3, 5):
        assert [row.frame_id for row in skies.features(db, page=page)] == [1, 2, 3, 4, 5]


def test_features_beyond_what_half_precision_holds_stay_finite(db: Database) -> None:
    stored(db, 1, sky(SkyClass.CLEAR, features=np.array([1e9, -1e9, 0.5], np.float32)))
    (row,) = skies.features(db)
    assert row.features.tolist() == [65504.0, -65504.0, 0.5]


def test_a_frame_remembers_where_its_camera_stood_and_how_it_looked(db: Database) -> None:
    frame_id = stored(db, 1, sky(SkyClass.CLEAR))
    place = skies.place_of(db, frame_id)
    assert place is not None
    assert (place.site, place.fisheye, place.shape) == (SITE, LENS, (256, 256))
    assert place.fisheye is not None
    assert place.fisheye.projection is Projection.EQUISOLID
    nowhere = stored(db, 2, sky(SkyClass.CLEAR), site=None, fisheye=None)
    assert skies.place_of(db, nowhere) == skies.Place(None, None, None)
    assert skies.place_of(db, 4711) is None


def test_numbers_of_numpy_and_a_lens_that_looks_nowhere_do_no_harm(db: Database) -> None:
    lens = Fisheye(np.float32(128.0), np.float64(127.5), np.float32(120.0), is_oriented=np.bool_(True))  # type: ignore[arg-type]
    felt = Disturbance(np.float32(1.5), np.float32(2.0), np.float32(-3.0), np.bool_(False), STATION)  # type: ignore[arg-type]
    facts = SkyFacts(np.float32(-20.0), can_show_aurora=np.bool_(True))  # type: ignore[arg-type]
    frame_id = stored(db, 1, sky(SkyClass.ARC, facts=facts), felt, fisheye=lens)
    place = skies.place_of(db, frame_id)
    assert place is not None and place.fisheye is not None
    assert (place.fisheye.center_x_px, place.fisheye.is_oriented) == (128.0, True)
    assert row_of(db, frame_id)["disturbance"]["z_nt"] == -3.0
    nowhere = stored(db, 2, sky(SkyClass.ARC), fisheye=Fisheye(math.nan, 0.0, 10.0))
    assert skies.place_of(db, nowhere) == skies.Place(SITE, None, None)


def again(db: Database, frame_id: int, model: str | None, run: NewRun) -> None:
    with db.write() as connection:
        assert results.finish_again(db, connection, frame_id, reprocess.only(run, model))


def kinds_of(db: Database, frame_id: int) -> dict[str, str]:
    return {item["kind"]: item["sha256"][-1] for item in products.of_frame(db, frame_id)}


def test_a_run_of_the_network_alone_renews_the_sky_and_its_picture_and_nothing_else(db: Database) -> None:
    frame_id = stored(db, 1, sky(SkyClass.ARC), disturbance(), pictures=("preview", "cloud-map"))
    newer = run_of(
        sky(SkyClass.CLOUD), disturbance(-1.0), hours=1, pictures=("preview", "cloud-map"), version=2
    )
    again(db, frame_id, "aurora", newer)
    told = row_of(db, frame_id)
    assert told["sky_class"] == "cloud"
    assert told["disturbance"]["x_nt"] == FELT[0]
    assert kinds_of(db, frame_id) == {"preview": "1", "cloud-map": "2"}


def test_a_run_of_the_quality_alone_leaves_the_sky_and_its_picture(db: Database) -> None:
    frame_id = stored(db, 1, sky(SkyClass.ARC), pictures=("preview", "cloud-map"))
    newer = run_of(sky(SkyClass.CLOUD), None, hours=1, pictures=("preview", "cloud-map"), version=2)
    again(db, frame_id, "allsky_quality", newer)
    assert row_of(db, frame_id)["sky_class"] == "arc"
    assert kinds_of(db, frame_id) == {"preview": "2", "cloud-map": "1"}


def test_a_run_of_the_disturbance_alone_renews_that_alone(db: Database) -> None:
    frame_id = stored(db, 1, sky(SkyClass.ARC), disturbance())
    other_id = stored(db, 2, sky(SkyClass.ARC), disturbance())
    again(db, frame_id, "disturbance-gill", run_of(sky(SkyClass.CLOUD), disturbance(-1.0), hours=1))
    told = row_of(db, frame_id)
    assert (told["sky_class"], told["disturbance"]["x_nt"]) == ("arc", -1.0)
    assert row_of(db, other_id)["disturbance"]["x_nt"] == FELT[0]


def test_a_sky_that_can_no_longer_be_judged_has_no_disturbance_any_more(db: Database) -> None:
    frame_id = stored(db, 1, sky(SkyClass.ARC), disturbance())
    again(db, frame_id, None, run_of(sky(None), None, hours=1))
    assert row_of(db, frame_id)["disturbance"] is None


def test_a_sky_goes_with_its_frame(db: Database) -> None:
    frame_id = stored(db, 1, sky(SkyClass.ARC))
    with db.write() as connection:
        connection.execute(schema.frames.delete().where(schema.frames.c.id == frame_id))
    assert skies.of_frames(db, [frame_id]) == {}


def test_alert_rules_are_told_the_numbers_of_a_sky_live_and_of_the_past(db: Database) -> None:
    frame_id = stored(db, 1, sky(SkyClass.ARC), disturbance())
    (live,) = (fact for fact in alert_facts.after(db, 0, 0, 100, MIDNIGHT).facts if isinstance(fact, Judged))
    end = MIDNIGHT + timedelta(days=1)
    (past,) = (
        fact for fact in past_facts.of_frames(db, "themis-asi", MIDNIGHT, end) if isinstance(fact, Judged)
    )
    for fact in (live, past):
        assert (fact.frame_id, fact.sky_class) == (frame_id, "arc")
        assert number_of(fact, "cloud_cover") == 0.25
        assert number_of(fact, "aurora_probability") == pytest.approx(0.85)
        assert number_of(fact, "disturbance_nt") == pytest.approx(np.linalg.norm(FELT), rel=1e-6)
