"""The engine: one worker thread per resident model, one conductor thread for the TIE loops. See `engine.py`."""
