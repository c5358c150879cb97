"""What starts and stops the processes that train trials."""

from worker.engines.base import AttemptExit, Engine, stop_all, wait_until_gone
from worker.engines.local import LocalEngine
from worker.engines.placement import Placement

__all__ = ["AttemptExit", "Engine", "LocalEngine", "Placement", "stop_all", "wait_until_gone"]
