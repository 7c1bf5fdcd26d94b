"""Video collections: lists, decoding, the frame store and the clip-pair pipeline."""
