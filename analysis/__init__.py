"""Commands that look at trained networks: what they confuse, see and have learned."""
