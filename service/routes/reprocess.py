"""Reprocessing: frames are worked on once more, at low priority."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, field_validator

from observatory import completeness
from observatory.storage import provenance, reprocess_jobs, workers
from observatory.storage.reprocess_jobs import MOST_FRAMES, ItemStatus, Job, JobStatus
from service import examples
from service.auth import Identity, Scope, requires
from service.context import Context, Here
from service.described import one_answer, refusals
from service.filters import FrameFilters, words_of
from service.gate import note
from service.numbers import RowNumber, no_truth
from service.paging import base_of
from service.problems import NotFoundError, ParameterError, ProblemError
from service.shapes import API, json_response

router = APIRouter(tags=["reprocess"])

_FAILURES = 20  # told of with a job


class ReprocessRequest(FrameFilters):
    """What is to be done again."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"instrument": "kso-halpha", "time": "2026-11-20/2026-11-21"}},
    )

    model: str | None = Field(
        None, min_length=1, max_length=64, description="name of the one model that is run again; all of them"
    )
    dry_run: bool = Field(False, description="count the frames, and do nothing")

    _are_numbers = field_validator("quality_min", "quality_max", mode="before")(no_truth)


class CountShape(BaseModel):
    """How many frames a job would take."""

    is_dry_run: bool
    frames: int


class FailureShape(BaseModel):
    """A frame that could not be worked on again; its old result stays."""

    frame_id: int
    reason: str | None


class JobShape(BaseModel):
    """A job and how far it is. While it is `selecting`, frames are still being written down.

    `filters` are those of the request, in its words.
    """

    id: int
    author: str
    filters: dict[str, Any]
    model: str | None
    status: JobStatus
    frames: int
    waiting: int
    working: int
    done: int
    failed: int
    created_at: datetime
    finished_at: datetime | None
    failures: list[FailureShape]
    links: dict[str, str]


class JobList(BaseModel):
    """The newest jobs first."""

    items: list[JobShape]


JobId = Annotated[RowNumber, Path(description="number of a job")]
Writer = Annotated[Identity, Depends(requires(Scope.WRITE))]
_NO_JOB = "there is no job 12"


@router.post(
    "/reprocess",
    responses={
        200: {
            "model": CountShape,
            "description": "of a dry run: how many frames there are",
            "content": {"application/json": {"example": {"is_dry_run": True, "frames": 8640}}},
        },
        202: one_answer(JobShape, examples.JOB)[200]
        | {"description": "the job; `Location` says where its progress is told"},
    },
    response_class=Response,
    status_code=202,
)
def start_job(request: Request, here: Here, wanted: ReprocessRequest, identity: Writer) -> Response:
    """Let frames that ended be worked on once more, after everything live and every archive's.

    Frames are served as they are until their new result is there. It stands beside the old ones;
    score, causes, regions and pictures follow it. The same again changes nothing. What arrives after
    this is no part of the job.
    """
    _check_instrument(here, wanted.instrument)
    families = _families(here, wanted.model)
    frames = reprocess_jobs.count(here.db, wanted.as_filter, families)
    note(request, frames=frames, is_dry_run=wanted.dry_run)
    if wanted.dry_run:
        return json_response({"is_dry_run": True, "frames": frames})
    if frames > MOST_FRAMES:
        raise ParameterError(
            "time", f"these are more than {MOST_FRAMES:,} frames", "a shorter time, or more filters"
        )
    job = reprocess_jobs.create(
        here.db,
        author=identity.name,
        wanted=wanted.as_filter,
        model=wanted.model,
        families=families,
        now=datetime.now(UTC),
    )
    note(request, job=job.id)
    shape = job_as_json(job, base_of(request))
    return json_response(shape, 202, {"Location": shape["links"]["self"]})


def _check_instrument(here: Context, name: str | None) -> None:
    """Refuse a name that no frame can have, now or later: its job would be empty, and look done.

    Raises
    ------
    ParameterError
    """
    if name is not None and name not in (known := completeness.askable(here.db, here.settings)):
        raise ParameterError("instrument", f"there is no instrument {name}", f"one of {', '.join(known)}")


def _families(here: Context, model: str | None) -> list[str] | None:
    """Kinds of frame that a model is for, as the workers say that run it; None for all kinds.

    Raises
    ------
    ParameterError
        When no worker runs it; while no worker is alive, when no result names it.
    """
    if model is None:
        return None
    alive = workers.alive(here.db, datetime.now(UTC), here.settings.service.worker_silence_s)
    running = [item for worker in alive for item in worker["facts"].get("models", ())]
    names = {item["name"] for item in running} or {known.name for known in provenance.models_seen(here.db)}
    if model not in names:
        raise ParameterError(
            "model",
            f"no worker runs {model}",
            f"models that workers run: {', '.join(sorted(names)) or 'none is alive'}",
        )
    families = {item.get("family") for item in running if item["name"] == model}
    return sorted(families) if families and None not in families else None


@router.get("/reprocess", responses=one_answer(JobList, examples.JOBS), response_class=Response)
def list_jobs(
    request: Request,
    here: Here,
    limit: Annotated[int, Query(ge=1, le=100, description="1 to 100 jobs, the newest")] = 20,
) -> Response:
    """The newest jobs, with their progress."""
    jobs = reprocess_jobs.newest(here.db, limit)
    return json_response({"items": [job_as_json(job, base_of(request)) for job in jobs]})


@router.get(
    "/reprocess/{job_id}",
    responses=one_answer(JobShape, examples.JOB, _NO_JOB),
    response_class=Response,
)
def get_job(request: Request, here: Here, job_id: JobId) -> Response:
    """How far a job is, and the first frames that failed, with their reasons."""
    job = _existing(reprocess_jobs.get(here.db, job_id), job_id)
    failures = reprocess_jobs.failures(here.db, job_id, _FAILURES)
    return json_response(job_as_json(job, base_of(request), failures))


@router.delete(
    "/reprocess/{job_id}",
    responses={
        **one_answer(JobShape, examples.JOB | {"status": "cancelled"}, _NO_JOB),
        **refusals(_409="the job has ended already"),
    },
    response_class=Response,
)
def cancel_job(request: Request, here: Here, job_id: JobId, _: Writer) -> Response:
    """Cancel a job: frames that are being worked on are finished, the others stay as they are."""
    job = _existing(reprocess_jobs.cancel(here.db, job_id, datetime.now(UTC)), job_id)
    if job.status is not JobStatus.CANCELLED:
        raise ProblemError(409, "ended", f"job {job_id} is {job.status.value}: there is nothing to cancel")
    return json_response(job_as_json(job, base_of(request)))


def _existing(job: Job | None, job_id: int) -> Job:
    if job is None:
        raise NotFoundError(f"job {job_id}")
    return job


def job_as_json(job: Job, base: str, failures: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """One job; frames not yet written down count as waiting."""
    counts = {status.value: number for status, number in job.counts.items()}
    if job.is_active:
        counts["waiting"] = max(0, job.frames - job.ended - job.counts[ItemStatus.WORKING])
    return {
        "id": job.id,
        "author": job.author,
        "filters": words_of(job.wanted),
        "model": job.model,
        "status": job.status.value,
        "frames": job.frames,
        **counts,
        "created_at": job.created_at,
        "finished_at": job.finished_at,
        "failures": failures or [],
        "links": {"self": f"{base}{API}/reprocess/{job.id}"},
    }
