"""Measures ensembles on tasks with known answers: conditions on the same items, their records, tables of those."""
