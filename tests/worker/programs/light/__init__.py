"""A stand-in for the trial command that starts without torch."""
