"""Scores and audits archives with several processes and machines."""
