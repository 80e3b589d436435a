"""The engine: one worker thread per resident model, one conductor thread for the TIE loops. See `engine.py`."""

from typing import Final

TICK_SECONDS: Final = 0.5
"""How long one packed forward should take at most, if nobody says otherwise: a row that comes or goes waits this long.
Here, since the configuration is read without torch."""

STALL_SECONDS: Final = 60.0
"""How long a packed forward may take at least before its worker is given up, if nobody says otherwise."""
