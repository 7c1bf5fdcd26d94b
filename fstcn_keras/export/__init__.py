"""A trained network for production: SavedModel, ONNX, LiteRT."""
