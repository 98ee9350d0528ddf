"""Real workers on real servers under faults, and a checker that reads everything afterwards.

`script` writes what is produced, `site` runs the servers and the workers, `nemesis` breaks them, `checker` compares
what readers of committed records see with PostgreSQL, and `history` lets a violation be followed event by event.
"""
