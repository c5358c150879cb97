"""What starts and stops the processes that train trials."""

from worker.engines.base import AttemptExit, Engine, stop_all, wait_until_gone
from worker.engines.local import LocalEngine

__all__ = ["AttemptExit", "Engine", "LocalEngine", "stop_all", "wait_until_gone"]
