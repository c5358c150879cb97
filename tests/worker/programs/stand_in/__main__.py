"""Does what the variable BEHAVIOUR says."""

import os
import signal
import subprocess
import sys
import time

import torch


def main() -> int:
    match os.environ["BEHAVIOUR"]:
        case "return":
            return 0
        case "exit 7":
            sys.exit(7)
        case "raise":
            raise RuntimeError("the stand-in broke")
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "sleep":
            time.sleep(60)
        case "ignore SIGTERM":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            sys.stderr.write("deaf\n")
            time.sleep(60)
        case "leave a child":
            subprocess.Popen(["sleep", "60"])
            return 0
        case "compute":
            leads_its_group = os.getpgid(0) == os.getpid()
            sys.stderr.write(f"{torch.get_num_threads()} {leads_its_group}\n")
            (torch.ones(600, 600) @ torch.ones(600, 600)).exp()
            return 5
    return 0


if __name__ == "__main__":
    sys.exit(main())
