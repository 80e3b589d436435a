"""`tie eval`: tasks answered by the models here or by a server, and the report of it."""
