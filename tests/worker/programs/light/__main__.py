"""Does what the variable BEHAVIOUR says."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from worker.trial.environment import TrialEnvironment

say = print


def main() -> int:
    match os.environ["BEHAVIOUR"]:
        case "exit 7":
            say("seven it is")
            return 7
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            child = subprocess.Popen(["sleep", "600"])
            say("deaf", os.getpid(), child.pid)
            time.sleep(600)
        case "sleep":
            say("asleep", os.getpid(), "on card", os.environ["CUDA_VISIBLE_DEVICES"])
            time.sleep(600)
        case "look around":
            say("card", os.environ["CUDA_VISIBLE_DEVICES"], "in", Path.cwd())
            say("token", TrialEnvironment.read(os.environ).token)
            os.write(1, b"no utf-8: \xff\n")
            time.sleep(3)
            say("later")
        case path:
            Path(path).touch()
            time.sleep(600)
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    sys.exit(main())
