"""Which views of a video are scored, and how."""
