"""The settings of a sandbox: limits, times, and the schema of its answers."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a sandbox behaves; every setting may be changed while it runs.

    All times are seconds on the sandbox's own clock.

    Attributes:
        schema: Month of the platform whose answers are given (platform 12).
        job_seconds: From the validation of all inputs until a job ends.
        import_seconds: From the use of a session until its images exist.
        latency: Added to every reply, in real seconds.
        active_jobs: Jobs a user may have unfinished (platform 7.3).
        credits: Algorithm credits per user and 30 days; each job costs 20 (platform 7.5).
        max_uploads: Upload records a user may have (platform 4.12).
        byte_quota: Bytes of uploads a user may hold when asking for URLs (platform 4.13).
        upload_lifetime: Age at which an upload is deleted (platform 4.14).
        presign_lifetime: Time for which a presigned URL is valid (platform 4.3).
        dicom_lifetime: Time for which a signed request for a DICOM instance is valid
            (platform 8.6).
        sessions: Whether upload sessions may be created by POST (platform 9.2, 10.5).
        race: Whether creating a case with an existing title answers 500 instead of 400, as if
            two requests had created it at the same time (platform 5.2).
        images_ready: Whether algorithm images can run; otherwise jobs are refused (platform 7.2).
        lost_planes: Planes that the importer loses at the end of each volume, as a fault.
        token_valid: Whether the main user's token is accepted; False is an expired one
            (platform 1.2).
        average_duration: Average duration that algorithms show; None shows job_seconds.
        latest_version: Latest version of gcapi, for the version endpoint (platform 1.5).
        lowest_version: Lowest supported version of gcapi (platform 1.5).
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
    lost_planes: int = 0
    token_valid: bool = True
    average_duration: float | None = None
    latest_version: str = "0.16.1"
    lowest_version: str = "0.13.0"
