"""The ShrinkNets client: submit sizing jobs, watch them, take the networks home."""

from shrinknets._client import Client
from shrinknets._dataset import Dataset, NoNumpyError
from shrinknets._errors import (
    ConflictError,
    InvalidInputError,
    InvalidKeyError,
    InvalidUrlError,
    JobNotSucceededError,
    LimitsMissedWarning,
    NoNetworkError,
    NotAllowedError,
    NotAuthenticatedError,
    NotFoundError,
    NoTrialError,
    ServiceError,
    ServiceUnreachableError,
    ShrinkNetsError,
    WaitTimeoutError,
)
from shrinknets._job import Job
from shrinknets._network import Network
from shrinknets._study import NoOptunaError, StudyError, study_points

__all__ = [
    "Client",
    "ConflictError",
    "Dataset",
    "InvalidInputError",
    "InvalidKeyError",
    "InvalidUrlError",
    "Job",
    "JobNotSucceededError",
    "LimitsMissedWarning",
    "Network",
    "NoNetworkError",
    "NoNumpyError",
    "NoOptunaError",
    "NoTrialError",
    "NotAllowedError",
    "NotAuthenticatedError",
    "NotFoundError",
    "ServiceError",
    "ServiceUnreachableError",
    "ShrinkNetsError",
    "StudyError",
    "WaitTimeoutError",
    "study_points",
]
