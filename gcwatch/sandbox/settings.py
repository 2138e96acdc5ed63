"""The knobs of a sandbox: limits, times and the schema it answers in."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a sandbox behaves; every knob may be changed while it runs.

    All times are seconds on the sandbox's own clock.

    Attributes:
        schema: Answers as the platform of July 2026, or of November 2025 (contract 12).
        job_seconds: From all inputs validated until a job ends; 0 is at once.
        import_seconds: From a session's use until its images exist; 0 is at once.
        latency: Added to every reply, in real seconds.
        active_jobs: Jobs a user may have unfinished (contract 7).
        credits: Algorithm credits per user and 30 days; each job costs 20 (contract 7).
        max_uploads: Upload records a user may have (contract 4).
        byte_quota: Bytes of uploads a user may hold when asking for URLs (contract 4).
        upload_lifetime: Age at which an upload is deleted (contract 4).
        presign_lifetime: How long a presigned URL is good for (contract 4).
        dicom_lifetime: How long a signed request for a DICOM instance is good for (contract 8).
        sessions: Whether upload sessions may be created by POST (contract 9, 10.5).
        race: Whether a title that is taken was taken by a request at the same time: the second
            create is a 500, not a 400 (contract 5).
        images_ready: Whether algorithm images can run; otherwise jobs are refused (contract 7).
        token_valid: False makes the main user's token expired (contract 1).
        average_duration: What algorithms state, in seconds; None derives it from job_seconds.
        latest_version: Of gcapi, as the version endpoint tells (contract 1).
        lowest_version: The lowest gcapi that is supported (contract 1).
    """

    schema: Literal["2026-07", "2025-11"] = "2026-07"
    job_seconds: float = 0.0
    import_seconds: float = 0.0
    latency: float = 0.0
    active_jobs: int = 16
    credits: int = 1_000_000
    max_uploads: int = 2000
    byte_quota: int = 128 * 1024**3
    upload_lifetime: float = 86_400.0
    presign_lifetime: float = 3_600.0
    dicom_lifetime: float = 300.0
    sessions: bool = True
    race: bool = False
    images_ready: bool = True
    token_valid: bool = True
    average_duration: float | None = None
    latest_version: str = "0.16.1"
    lowest_version: str = "0.13.0"
