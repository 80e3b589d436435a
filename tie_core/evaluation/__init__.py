"""Measures ensembles on tasks with known answers: paired settings, intervals, and the page of results."""
