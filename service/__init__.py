"""The HTTP server and the command line in front of `tie_core`; nothing in `tie_core` imports it."""
