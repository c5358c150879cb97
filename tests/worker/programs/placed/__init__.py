"""A stand-in for the trial command that looks at its place."""
