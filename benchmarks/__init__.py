"""Measurements: each module is a command that prints its table and writes its CSV."""
