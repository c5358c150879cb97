"""A command that an engine can start instead of a trial."""
