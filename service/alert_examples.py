"""Examples of alerts for the published description."""

from __future__ import annotations

from typing import Any

_ACKNOWLEDGED = {
    "id": 3,
    "alert_id": 12,
    "note": "I am on my way",
    "author": "observer",
    "created_at": "2026-11-20T09:20:11.120000Z",
}
ALERT: dict[str, Any] = {
    "id": 12,
    "rule": "HalphaDegraded",
    "alert_key": "instrument=kso-halpha",
    "instrument": "kso-halpha",
    "severity": "warning",
    "state": "firing",
    "labels": {"alertname": "HalphaDegraded", "instrument": "kso-halpha", "severity": "warning"},
    "annotations": {"summary": "kso-halpha: cloud for 3 frames"},
    "evidence": {"cause": "cloud", "frames": 3, "first_frame_id": 4711, "last_frame_id": 4713},
    "since": "2026-11-20T09:14:06Z",
    "fired_at": "2026-11-20T09:14:18Z",
    "updated_at": "2026-11-20T09:14:18Z",
    "resolved_at": None,
    "inhibited_by": None,
    "silenced_by": None,
    "acknowledged": _ACKNOWLEDGED,
    "acknowledgements": [_ACKNOWLEDGED],
    "links": {"self": "/api/v1/alerts/12", "ack": "/api/v1/alerts/12/ack"},
}
ALERTS = {"items": [ALERT], "next": None}
ALERT_DETAILS = ALERT | {
    "notifications": [
        {
            "idempotency_key": "6f2c0e9bd41a4788a1c3b5d7e9f00112",
            "channel": "ops-mail",
            "kind": "fired",
            "number": 0,
            "state": "sent",
            "attempts": 2,
            "reason": None,
            "due_at": "2026-11-20T09:14:33Z",
            "finished_at": "2026-11-20T09:14:33.500000Z",
        }
    ],
}
SILENCE: dict[str, Any] = {
    "id": 3,
    "state": "active",
    "matchers": {"instrument": "kso-halpha"},
    "starts_at": "2026-11-20T08:00:00Z",
    "ends_at": "2026-11-21T08:00:00Z",
    "comment": "mirror is cleaned",
    "author": "observer",
    "created_at": "2026-11-20T08:00:00Z",
}
SILENCES = {"items": [SILENCE], "next": None}
