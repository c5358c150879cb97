"""The ShrinkNets client: submit sizing jobs, watch them, take the networks home."""

from shrinknets._client import Client
from shrinknets._errors import (
    ConflictError,
    InvalidInputError,
    InvalidUrlError,
    JobNotSucceededError,
    NoNetworkError,
    NotFoundError,
    ServiceError,
    ServiceUnreachableError,
    ShrinkNetsError,
    WaitTimeoutError,
)
from shrinknets._job import Job
from shrinknets._network import Network

__all__ = [
    "Client",
    "ConflictError",
    "InvalidInputError",
    "InvalidUrlError",
    "Job",
    "JobNotSucceededError",
    "Network",
    "NoNetworkError",
    "NotFoundError",
    "ServiceError",
    "ServiceUnreachableError",
    "ShrinkNetsError",
    "WaitTimeoutError",
]
