"""The command `shrinknets`."""

from shrinknets.cli._app import main

__all__ = ["main"]
