"""What starts and stops the processes that train trials."""

from worker.engines.base import AttemptExit, Engine, stop_all, wait_until_gone
from worker.engines.local import LocalEngine
from worker.engines.placement import Placement
from worker.engines.ray import RayEngine, RayOptions
from worker.engines.ray_jobs import RayJobs

__all__ = [
    "AttemptExit",
    "Engine",
    "LocalEngine",
    "Placement",
    "RayEngine",
    "RayJobs",
    "RayOptions",
    "stop_all",
    "wait_until_gone",
]
