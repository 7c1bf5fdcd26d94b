"""Runs the command `python -m fstcn_keras.export`, see `fstcn_keras.export.formats`."""

from fstcn_keras.export.formats import main

main()
