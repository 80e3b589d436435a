"""Trajectory-level ensembling of masked diffusion language models, as a library.

Knows no HTTP, no event loop, no environment and no terminal: those are `service`'s.
"""

__version__ = "0.1.0"
