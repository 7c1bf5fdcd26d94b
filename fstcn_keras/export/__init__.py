"""Exports a trained network for production: SavedModel, ONNX, LiteRT."""
