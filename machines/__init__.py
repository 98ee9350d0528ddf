"""The machines that this repository ships as examples: one folder each."""
