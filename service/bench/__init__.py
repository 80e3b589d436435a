"""Load on whatever answers prompts: the engine in this process, a TIE server, any OpenAI-compatible server."""
