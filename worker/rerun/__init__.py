"""The command `python -m worker.rerun`: one trial again, alone, in the foreground."""
