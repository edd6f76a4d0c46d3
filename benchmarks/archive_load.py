"""An archive of any length in Postgres: the same rows every time, as many years as the frames fill.

Twenty instruments of one frame every ten and a half minutes each, all ending on one day, so that a longer
archive reaches further back and a day of it holds as much as a day of a shorter one. Rows are made inside
the database, where that costs least; indexes and keys are built when the rows are there.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Any

import psycopg

import migrations
from tests.servers import PostgresServer

END = datetime(2026, 11, 1, tzinfo=UTC)
CADENCE_S = 630
_CHUNK = 500_000

# name, family, observatory, wavelength in nm, whether clouds pass over it
INSTRUMENTS = (
    ("kso-halpha", "halpha", "Kanzelhöhe", 656.28, True),
    ("gong-halpha", "halpha", "GONG", 656.28, True),
    ("bbso-halpha", "halpha", "Big Bear", 656.28, True),
    ("halpha", "halpha", "A station", 656.28, True),
    ("hmi-continuum", "hmi", "SDO", 617.33, False),
    ("hmi-magnetogram", "hmi", "SDO", 617.33, False),
    *((f"aia-{a}", "aia", "SDO", a / 10, False) for a in (94, 131, 171, 193, 211, 304, 335, 1600, 4500)),
    ("suvi-171", "aia", "GOES", 17.1, False),
    ("suvi-195", "aia", "GOES", 19.5, False),
    ("themis-asi", "allsky", "Fort Smith", None, True),
    ("trex-rgb", "allsky", "Gillam", None, True),
    ("allsky", "allsky", "Ny-Ålesund", None, True),
)
RARE_WAVELENGTH = "1083nm"  # of twenty frames, the oldest of one station
RARE_CAUSE = "lens_cap"  # of twenty frames, the oldest
EMPTY_SCORES = (0.62, 0.68)  # between which no frame lies

_SETUP = """
CREATE FUNCTION pg_temp.u(n bigint, seed bigint) RETURNS float8 LANGUAGE sql IMMUTABLE AS
$$ SELECT (hashint8extended(n, seed) & 4294967295)::float8 / 4294967296.0 $$;
CREATE TEMP TABLE stations (i int PRIMARY KEY, name text, family text, observatory text,
    wavelength_nm float8, is_below_clouds bool);
"""

_MADE = """
CREATE TEMP TABLE made ON COMMIT DROP AS
SELECT n AS id, s.*, t AS moment, status,
    CASE WHEN status <> 'done' OR s.family = 'allsky' THEN NULL
         WHEN is_capped THEN 0.02
         WHEN pg_temp.u(n, 2) < 0.88 THEN round((1 - 0.3 * pg_temp.u(n, 3) ^ 2)::numeric, 6)::float8
         WHEN pg_temp.u(n, 2) < 0.97 THEN round((0.2 + 0.4 * pg_temp.u(n, 3))::numeric, 6)::float8
         ELSE round((0.1 * pg_temp.u(n, 3))::numeric, 6)::float8 END AS score,
    is_capped
FROM (
    SELECT n, %(end)s::timestamptz
            - make_interval(secs => ((%(rows)s - n) / 20) * %(cadence)s + (20 - (n - 1) %% 20) * 31) AS t,
        CASE WHEN n > %(rows)s - 200 THEN CASE WHEN n > %(rows)s - 10 THEN 'processing' ELSE 'received' END
             WHEN pg_temp.u(n, 1) < 0.0004 THEN 'failed'
             WHEN pg_temp.u(n, 1) < 0.006 THEN 'rejected' ELSE 'done' END AS status,
        n <= 20000 AND n %% 1000 = 7 AS is_capped
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
) AS one JOIN stations AS s ON s.i = (n - 1) %% 20
"""

_FRAMES = """
INSERT INTO frames (id, sha256, frame_index, instrument, family, observatory, date_obs, date_obs_source,
    moment, wavelength_nm, exposure_time_s, is_simulated, file_name, path, bytes, status, reason, priority,
    closed_at, received_at, published_at, claimed_at, processed_at, latency_s, attempts, quality_score,
    is_degraded, mark, sky_class)
SELECT id, encode(sha256(id::text::bytea), 'hex'), 0,
    CASE WHEN status = 'rejected' AND id %% 2 = 0 THEN NULL ELSE name END, family, observatory, moment,
    'header', moment, CASE WHEN i = 3 AND id <= 20000 AND id %% 1000 = 4 THEN 1083.0 ELSE wavelength_nm END,
    2.0, false, name || to_char(moment, '_YYYYMMDD_HH24MISS') || '.fts.gz',
    '/srv/incoming/' || name || to_char(moment, '/YYYY/MM/DD/') || id || '.fts.gz',
    4000000 + id %% 999983, status, CASE status WHEN 'rejected' THEN 'the file ends early'
        WHEN 'failed' THEN 'the worker died 5 times on this frame' END,
    'live', moment + interval '3 s', moment + interval '3.1 s', moment + interval '3.1 s',
    moment + interval '3.1 s', CASE WHEN status = 'done' THEN moment + interval '3.2 s' END,
    CASE WHEN status = 'done' THEN 0.2 END, 1, score, score < 0.5,
    CASE WHEN id %% 5000 = 3 THEN CASE WHEN id %% 10000 = 3 THEN 'good' ELSE 'bad' END END,
    CASE WHEN family = 'allsky' AND status = 'done' THEN
        (ARRAY['clear', 'clear', 'clear', 'cloud', 'cloud', 'moon', 'diffuse', 'arc', 'discrete'])
        [1 + floor(9 * pg_temp.u(id, 5))] END
FROM made
"""

_CAUSES = """
INSERT INTO causes (frame_id, cause, probability, instrument, moment)
SELECT id, CASE WHEN is_capped THEN 'lens_cap' WHEN is_below_clouds THEN
        (ARRAY['cloud', 'cloud', 'cloud', 'thin_cloud', 'seeing', 'occultation', 'dust'])
        [1 + floor(7 * pg_temp.u(id, 6))]
    ELSE (ARRAY['eclipse', 'missing_data', 'spikes', 'off_centre'])[1 + floor(4 * pg_temp.u(id, 6))] END,
    0.5 + 0.5 * pg_temp.u(id, 7), name, moment
FROM made WHERE score < 0.5
"""

_RESULTS = """
INSERT INTO results (id, frame_id, analysis, model_name, model_version, model_sha256, parameters_hash,
    software_version, payload, created_at)
SELECT id, id, 'quality', family || '-quality', version, encode(sha256((family || version)::bytea), 'hex'),
    encode(sha256(family::bytea), 'hex'), '0.1.0',
    jsonb_build_object('score', score, 'is_degraded', score < 0.5, 'p_value', round(score::numeric, 3),
        'causes', '[]'::jsonb, 'model', family || '-quality ' || version, 'region_extent_px', NULL,
        'measures', jsonb_build_object('content_loss', round((1 - score)::numeric, 4), 'contrast',
            round(pg_temp.u(id, 8)::numeric, 4), 'sharpness', round(pg_temp.u(id, 9)::numeric, 4))),
    moment + interval '3.2 s'
FROM (SELECT *, CASE WHEN id < %(rows)s / 2 THEN '1.0.0' ELSE '1.1.0' END AS version FROM made) AS made
WHERE score IS NOT NULL
"""

_PRODUCTS = """
INSERT INTO products (id, frame_id, kind, media_type, sha256, path, bytes, width, height, created_at)
SELECT id, id, 'preview', 'image/jpeg', digest, left(digest, 2) || '/' || digest || '.jpg', 60000, 1024, 1024,
    moment + interval '3.2 s'
FROM (SELECT *, encode(sha256(('p' || id)::bytea), 'hex') AS digest FROM made) AS made WHERE status = 'done'
"""

_EVENTS = """
INSERT INTO events (type, instrument, frame_id, payload, created_at)
SELECT 'result', name, id, jsonb_build_object('id', id, 'instrument', name, 'status', 'done', 'quality',
    jsonb_build_object('score', score)), moment + interval '3.2 s'
FROM made WHERE status = 'done' AND moment > %(end)s::timestamptz - interval '14 days' ORDER BY id
"""

_SEGMENTED = """
CREATE TEMP TABLE segmented ON COMMIT DROP AS
SELECT id AS frame_id, kind AS event_type, name AS instrument, moment,
    floor(6 * pg_temp.u(id, seed))::int AS regions, pg_temp.u(id, seed + 1) AS share
FROM made, (VALUES ('CH', 20), ('AR', 30)) AS kinds (kind, seed) WHERE name = 'aia-193' AND status = 'done'
"""

_SEGMENTATIONS = """
INSERT INTO segmentations (frame_id, event_type, instrument, moment, is_dated, model_name, model_version,
    model_sha256, parameters_hash, software_version, threshold, regions, disk_fraction, area_msh)
SELECT frame_id, event_type, instrument, moment, true, 'aia-segmentation', '1.0.0', repeat('cd', 32),
    repeat('ef', 32), '0.1.0', 0.5, regions, 0.05 * share, 50000 * share
FROM segmented
"""

_TRACKS = """
INSERT INTO tracks (id, event_type, first_seen, last_seen, sightings)
SELECT n, kind, %(end)s::timestamptz - make_interval(days => 13 * (n / 10 + 1)),
    %(end)s::timestamptz - make_interval(days => 13 * (n / 10)), 1000
FROM generate_series(1, 10 * (%(rows)s / 35000 + 2)) AS n,
    LATERAL (SELECT CASE WHEN n %% 10 < 5 THEN 'CH' ELSE 'AR' END AS kind) AS k
"""

_REGIONS = """
INSERT INTO regions (frame_id, event_type, number, instrument, moment, track_id, disk_fraction, area_px,
    area_msh, area_atdiskcenter_mm2, probability, intensity_mean, centroid_x_px, centroid_y_px, hpc_x_arcsec,
    hpc_y_arcsec, stonyhurst_longitude_deg, stonyhurst_latitude_deg, carrington_longitude_deg,
    carrington_latitude_deg, bounding_box_px, rings_px, rings_hpc_arcsec, rings_carrington_deg)
SELECT s.frame_id, s.event_type, number, s.instrument, s.moment,
    10 * floor(extract(epoch FROM %(end)s::timestamptz - s.moment) / 86400 / 13)
        + CASE s.event_type WHEN 'CH' THEN number - 1 ELSE number + 4 END + 10,
    size / 2000, size * 4000, size * 1000, size * 3000, 0.8, 120.0, x, y, (x - 512) * 2, (y - 512) * 2,
    (x - 512) / 8, (y - 512) / 8, (x - 512) / 8 + 180, (y - 512) / 8,
    jsonb_build_array(x - 20, y - 20, x + 20, y + 20), ring, ring, ring
FROM segmented AS s
CROSS JOIN LATERAL generate_series(1, s.regions) AS number
CROSS JOIN LATERAL (SELECT 5 * pg_temp.u(s.frame_id * 8 + number, 40) ^ 4 AS size,
    200 + round(600 * pg_temp.u(s.frame_id * 8 + number, 41)) AS x,
    200 + round(600 * pg_temp.u(s.frame_id * 8 + number, 42)) AS y) AS place
CROSS JOIN LATERAL (SELECT jsonb_build_array(jsonb_agg(jsonb_build_array(
    round((x + 20 * cos(a * 0.5236))::numeric, 2), round((y + 20 * sin(a * 0.5236))::numeric, 2)))) AS ring
    FROM generate_series(0, 11) AS a) AS outline
"""

_TALLIES = """
INSERT INTO tallies SELECT coalesce(instrument, ''), coalesce(family, ''), priority, status, count(*),
    count(*) FILTER (WHERE is_degraded) FROM frames WHERE status IN ('done', 'rejected', 'failed')
    GROUP BY 1, 2, 3, 4
"""


def start_server(memory: str = "2GB") -> PostgresServer:
    """Start a Postgres with memory enough to hold what is asked often, as an operator would give it."""
    server = PostgresServer()
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        for name, value in (
            ("shared_buffers", memory),
            ("maintenance_work_mem", "512MB"),
            ("effective_cache_size", "8GB"),
            ("max_wal_size", "8GB"),
            ("wal_level", "minimal"),
            ("max_wal_senders", "0"),
            ("random_page_cost", "1.1"),
            ("max_parallel_workers_per_gather", "0"),
            ("max_parallel_maintenance_workers", "0"),
        ):
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")  # type: ignore[arg-type]
    server._run("pg_ctl", "-D", str(server.home / "data"), "-l", str(server.home / "log"), "-w", "restart")
    return server


def load(url: str, rows: int) -> float:
    """Fill an empty database; return the seconds it took.

    Parameters
    ----------
    rows : int
        Frames; 10 million take some 12 GB and a quarter of an hour of a core.
    """
    started = time.perf_counter()
    migrations.upgrade(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_SETUP)
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO stations VALUES (%s, %s, %s, %s, %s, %s)",
                [(number, *station) for number, station in enumerate(INSTRUMENTS)],
            )
        later = _take_indexes_away(connection)
        connection.execute("ALTER TABLE frames DISABLE TRIGGER USER")
        everything = {"end": END, "rows": rows, "cadence": CADENCE_S}
        connection.execute(_bound(connection, _TRACKS, everything))
        for first in range(1, rows + 1, _CHUNK):
            chunk = everything | {"first": first, "last": min(rows, first + _CHUNK - 1)}
            with connection.transaction():
                for statement in (
                    *(_MADE, _FRAMES, _CAUSES, _RESULTS, _PRODUCTS, _EVENTS),
                    *(_SEGMENTED, _SEGMENTATIONS, _REGIONS),
                ):
                    connection.execute(_bound(connection, statement, chunk))
            _say(f"{chunk['last']} rows after {time.perf_counter() - started:.0f} s")
        connection.execute("ALTER TABLE frames ENABLE TRIGGER USER")
        for statement in later:
            connection.execute(statement)
        _say(f"indexes after {time.perf_counter() - started:.0f} s")
        connection.execute(_TALLIES)
        for table in ("frames", "results", "products"):
            connection.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}"  # type: ignore[arg-type]
            )
        connection.execute("SELECT setval(pg_get_serial_sequence('tracks', 'id'), max(id)) FROM tracks")
        connection.execute("VACUUM (ANALYZE)")
    return time.perf_counter() - started


def _bound(connection: psycopg.Connection[Any], statement: str, values: dict[str, Any]) -> bytes:
    """Values written into the statement: tables cannot be made with parameters beside it."""
    cursor = psycopg.ClientCursor(connection)
    return cursor.mogrify(statement, values).encode()


def _take_indexes_away(connection: psycopg.Connection[Any]) -> list[bytes]:
    """Drop keys and indexes; return what makes them again, foreign keys last."""
    constraints = connection.execute(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), contype::text FROM pg_constraint "
        "WHERE contype IN ('p', 'u', 'f') AND connamespace = 'public'::regnamespace "
        "ORDER BY array_position(ARRAY['f', 'u', 'p']::\"char\"[], contype)"
    ).fetchall()
    for table, name, _, _ in constraints:
        connection.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"'.encode())
    indexes = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f'DROP INDEX "{name}"'.encode())
    again = [
        f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}'
        for table, name, definition, _ in reversed(constraints)
    ]
    keys = [line for line, row in zip(again, reversed(constraints), strict=True) if row[3] != "f"]
    foreign = [line for line, row in zip(again, reversed(constraints), strict=True) if row[3] == "f"]
    return [line.encode() for line in (*keys, *(definition for _, definition in indexes), *foreign)]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
