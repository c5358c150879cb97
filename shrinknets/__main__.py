"""The command `python -m shrinknets`."""

from shrinknets.cli import main

if __name__ == "__main__":
    main()
