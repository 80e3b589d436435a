"""The routes: requests in, responses out, nothing else."""
