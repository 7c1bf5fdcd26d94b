"""Decides which views of a video are scored, and scores them."""
