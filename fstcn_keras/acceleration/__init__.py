"""Faster forms of layers, for one machine."""
