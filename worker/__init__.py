"""The worker: claims jobs over HTTP, asks Optuna, and starts trials on an engine.

Its door is the command `python -m worker`, so a trial's process need not import the search.
"""
