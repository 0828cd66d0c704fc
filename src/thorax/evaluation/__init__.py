"""Scores of a partition, with intervals, by subgroup and under disturbance: what a report shows."""
