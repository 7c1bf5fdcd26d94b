"""Commands that look at trained networks: what they confuse, see and have learned."""

import training  # noqa: F401  first: it chooses Keras' backend and sets TensorFlow up
