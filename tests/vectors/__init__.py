"""The reference vectors: facts recorded from the TypeScript reference, as data, and what runs them.

`python -m tests.vectors` runs every file of the folder that `VECTORS_DIR` names (default: the copy in `data`).
"""
