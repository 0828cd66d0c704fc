"""Sections of an evaluation report; those with figures import matplotlib."""
