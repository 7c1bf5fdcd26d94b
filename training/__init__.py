"""Commands that make and judge an FSTCN; they run Keras on TensorFlow.

Importing it does nothing. TensorFlow is imported by the modules that compute with it, and these
by a command once its options are known to be sound; decoding starts without it.
"""
