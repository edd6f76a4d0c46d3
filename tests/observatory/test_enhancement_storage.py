"""What is kept of enhancements: one row a frame, written with its result, asked for as a series."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select, text

from observatory.analysis import Enhancement, EnhancementNumbers, ModelIdentity, Quantity
from observatory.storage import enhancements, frames, products, reprocess, results, schema
from observatory.storage.enhancements import ANALYSIS, EnhancementOutcome, enhancement_payload
from observatory.storage.files import StoredFile
from observatory.storage.frame_keys import Page
from observatory.storage.frames import NewFrame
from observatory.storage.results import NewProduct, NewResult, NewRun
from observatory.storage.session import Database

NOON = datetime(2024, 5, 8, 12, tzinfo=UTC)
NETWORK = ModelIdentity("hmi_enhancement", "1.0.0", "ab" * 32, {"halo_px": 24})
JUDGE = ModelIdentity("hmi_quality", "1.0.0", "cd" * 32)
ENHANCED = EnhancementOutcome.ENHANCED


def enhancement(contrast: float = 0.0361234567, **more: Any) -> Enhancement:
    numbers = EnhancementNumbers(contrast, 1.9 * contrast, None, None, 0.001, 0.0012, 0.99)
    facts = {"quantity": Quantity.CONTINUUM, "window_px": (0, 0, 8, 8), "numbers": numbers} | more
    blank = np.zeros((16, 16), np.float32)
    return Enhancement(pixels=blank, trust=blank[:8, :8], model=NETWORK, **facts)


def said(payload: dict[str, Any] | None = None) -> NewResult:
    return NewResult(ANALYSIS, NETWORK, payload or enhancement_payload(enhancement()))


def picture(kind: str, number: int = 1) -> NewProduct:
    return NewProduct(kind, "image/jpeg", StoredFile(f"{number:064x}", f"{kind}{number}", 3), 4, 4)


def register(db: Database, number: int, **more: Any) -> int:
    facts: dict[str, Any] = {
        "sha256": f"{number:064x}",
        "file_name": f"{number}.fits",
        "path": f"/in/{number}.fits",
        "bytes": 10,
        "received_at": NOON + timedelta(days=1),
        "instrument": "hmi-continuum",
        "family": "hmi",
        "date_obs": NOON + timedelta(seconds=45 * number),
    }
    (task,) = frames.register(db, [NewFrame(**(facts | more))], [])
    return task.frame_id


def done(db: Database, number: int, *made: NewResult, pictures: Any = (), **more: Any) -> int:
    frame_id = register(db, number, **more)
    frames.claim(db, frame_id, "w", NOON)
    assert results.finish(
        db,
        frame_id,
        "w",
        quality=None,
        made=made,
        pictures=pictures,
        software_version="1",
        now=NOON + timedelta(days=1, seconds=1),
    )
    return frame_id


def again(db: Database, frame_id: int, *made: NewResult, pictures: Any = (), hours: int = 1) -> None:
    run = NewRun(made, "2", NOON + timedelta(days=1, hours=hours), None, pictures)
    with db.write() as connection:
        assert results.finish_again(db, connection, frame_id, run)


def series(db: Database, **given: Any) -> list[dict[str, Any]]:
    facts: dict[str, Any] = {
        "instrument": None,
        "time_from": None,
        "time_to": None,
        "outcome": ENHANCED,
        "page": Page(100),
    }
    return enhancements.series(db, **(facts | given))


def test_the_numbers_are_kept_to_six_digits_and_what_is_none_is_null() -> None:
    payload = enhancement_payload(enhancement())
    assert payload["contrast_before"] == 0.0361235
    assert payload["unsigned_flux_before_mx"] is None
    assert payload["window_px"] == [0, 0, 8, 8]
    assert payload["model"] == "hmi_enhancement 1.0.0"
    assert enhancement_payload(enhancement(math.nan))["contrast_before"] is None


def test_an_enhancement_is_a_point_of_the_series_once_its_result_is_there(db: Database) -> None:
    frame_id = register(db, 1)
    assert series(db) == []
    frames.claim(db, frame_id, "w", NOON)
    facts = {"quality": None, "made": [said()], "pictures": [], "software_version": "1", "now": NOON}
    assert not results.finish(db, frame_id, "somebody else", **facts)
    assert series(db) == []
    assert results.finish(db, frame_id, "w", **facts)
    (point,) = series(db)
    assert (point["frame_id"], point["instrument"], point["quantity"]) == (
        frame_id,
        "hmi-continuum",
        "continuum",
    )
    assert point["time"] == NOON + timedelta(seconds=45)
    assert point["contrast_after"] == pytest.approx(0.0686346)
    assert point["reason"] is None


@pytest.mark.parametrize("outcome", [EnhancementOutcome.REFUSED, EnhancementOutcome.SKIPPED])
def test_a_frame_that_was_not_enhanced_is_listed_apart_with_the_reason(
    db: Database, outcome: EnhancementOutcome
) -> None:
    frame_id = done(db, 1, said({outcome.value: "all of it is NaN"}))
    assert series(db) == []
    (point,) = series(db, outcome=outcome)
    assert (point["frame_id"], point["reason"]) == (frame_id, "all of it is NaN")
    assert point["contrast_before"] is point["trusted_fraction"] is None


def test_another_run_replaces_the_numbers_and_the_results_keep_both(db: Database) -> None:
    frame_id = done(db, 1, said())
    again(db, frame_id, said(enhancement_payload(enhancement(0.05))))
    (point,) = series(db)
    assert point["contrast_before"] == 0.05
    assert [row["analysis"] for row in results.of_frame(db, frame_id)] == [ANALYSIS, ANALYSIS]
    again(db, frame_id, said({"refused": "a colour picture"}), hours=2)
    assert series(db) == []
    found = enhancements.of_frame(db, frame_id)
    assert found is not None and found["reason"] == "a colour picture"


def test_a_run_that_had_no_time_leaves_what_was_made_before(db: Database) -> None:
    frame_id = done(db, 1, said(), pictures=[picture("preview"), picture("enhanced")])
    again(db, frame_id, said({"skipped": "the worker is behind"}), pictures=[picture("preview", 2)])
    assert len(series(db)) == 1
    assert products.newest(db, [frame_id])[frame_id].keys() == {"preview", "enhanced"}


def test_pictures_of_an_enhancement_go_with_it_and_no_others(db: Database) -> None:
    kinds = ("preview", "region-map", "enhanced", "compare-before", "compare-after")
    frame_id = done(db, 1, said(), pictures=[picture(kind) for kind in kinds])

    def shown() -> set[str]:
        return {row["kind"] for row in products.of_frame(db, frame_id)}

    again(db, frame_id, NewResult("quality", JUDGE, {}), pictures=[picture("preview", 2)])
    assert shown() == {"preview", "enhanced", "compare-before", "compare-after"}
    again(db, frame_id, said(enhancement_payload(enhancement(0.05))), pictures=[picture("enhanced", 3)])
    assert shown() == {"preview", "enhanced"}
    again(db, frame_id, said({"refused": "it is constant"}), hours=2)
    assert shown() == {"preview"}


def test_running_one_model_again_keeps_the_pictures_of_that_model() -> None:
    pictures = [picture("preview"), picture("enhanced"), picture("compare-after")]
    whole = NewRun([NewResult("quality", JUDGE, {}), said()], "1", NOON, None, pictures)
    kept = reprocess.only(whole, "hmi_enhancement")
    assert [item.analysis for item in kept.made] == [ANALYSIS]
    assert [item.kind for item in kept.pictures] == ["enhanced", "compare-after"]


def test_a_series_is_read_in_both_orders_a_page_at_a_time(db: Database) -> None:
    ids = [done(db, number, said()) for number in range(5)]
    done(db, 9, said(), instrument="hmi-magnetogram")
    done(db, 10, said(), date_obs=None)
    first = series(db, instrument="hmi-continuum", page=Page(2))
    assert [point["frame_id"] for point in first] == ids[:2:-1]
    second = series(db, instrument="hmi-continuum", page=Page(2, enhancements.key_of(first[-1])))
    assert [point["frame_id"] for point in second] == ids[2:0:-1]
    oldest = series(db, page=Page(2, is_ascending=True))
    assert [point["frame_id"] for point in oldest] == ids[:2]
    within = series(db, time_from=NOON + timedelta(seconds=45), time_to=NOON + timedelta(seconds=135))
    assert [point["frame_id"] for point in within] == [ids[2], ids[1]]
    assert len(series(db)) == 6


def test_bins_hold_the_means_of_each_instrument(db: Database) -> None:
    for number, contrast in enumerate((0.02, 0.04, 0.06)):
        done(db, 80 * number, said(enhancement_payload(enhancement(contrast))))
    done(db, 1, said({"refused": "constant"}))
    done(db, 2, said({"quantity": "field", "residual": 0.5}), instrument="hmi-magnetogram")
    found = enhancements.binned(db, None, None, None, bin_s=7200, limit=10)
    shown = [(row["instrument"], row["frames"], row["contrast_before"], row["residual"]) for row in found]
    assert sorted(shown) == [
        ("hmi-continuum", 1, 0.06, 0.001),
        ("hmi-continuum", 2, pytest.approx(0.03), 0.001),
        ("hmi-magnetogram", 1, None, 0.5),
    ]
    assert found[0]["start"] == NOON.timestamp()
    (newest,) = enhancements.binned(db, "hmi-continuum", None, None, bin_s=7200, limit=1)
    assert newest["frames"] == 1
    assert enhancements.binned(db, "aia-193", None, None, bin_s=60, limit=9) == []


def test_a_frame_that_is_removed_takes_its_enhancement_along(db: Database) -> None:
    frame_id = done(db, 1, said())
    with db.write() as connection:
        connection.execute(text("DELETE FROM frames"))
    assert enhancements.of_frame(db, frame_id) is None


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_page_of_a_long_series_is_read_along_an_index(db: Database) -> None:
    with db.write() as connection:
        connection.execute(
            text(
                "INSERT INTO frames (frame_index, instrument, family, date_obs, date_obs_source, moment, "
                "is_simulated, file_name, path, bytes, status, priority, received_at, attempts) "
                "SELECT 0, CASE WHEN n % 2 = 0 THEN 'hmi-continuum' ELSE 'hmi-magnetogram' END, 'hmi', t, "
                "'header', t, false, 'a', 'a', 1, 'received', 'live', t, 0 FROM (SELECT n, "
                "timestamptz '2020-01-01' + n * interval '45 seconds' AS t FROM generate_series(1, 20000) n) s"
            )
        )
        connection.execute(
            text(
                "INSERT INTO enhancements (frame_id, instrument, moment, is_dated, outcome, contrast_before, "
                "model_name, model_version, model_sha256, software_version) SELECT id, instrument, moment, true, "
                "CASE WHEN id % 5000 = 0 THEN 'refused' ELSE 'enhanced' END, 0.03, 'm', '1', 's', '1' FROM frames"
            )
        )
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE enhancements"))
    moment, number = schema.enhancements.c.moment, schema.enhancements.c.frame_id
    for instrument, outcome in ((None, ENHANCED), ("hmi-continuum", EnhancementOutcome.REFUSED)):
        query = select(moment, number).where(*enhancements._conditions(instrument, outcome, None))
        with db.read() as connection:
            compiled = (
                Page(50).of(query, moment, number).compile(connection, compile_kwargs={"literal_binds": True})
            )
            plan = "\n".join(connection.execute(text(f"EXPLAIN {compiled}")).scalars())
        assert "ix_enhancements" in plan and "Sort" not in plan, plan
