"""Holds the parts of the server that `fstcn_keras.serve` starts; needs the extra `serve`."""
