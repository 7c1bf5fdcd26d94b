"""The parts of the server that `fstcn_keras.serve` starts; they need the extra `serve`."""
