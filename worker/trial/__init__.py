"""The command `python -m worker.trial`, which trains one trial."""
