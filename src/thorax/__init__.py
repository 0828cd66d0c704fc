"""Classify chest X-rays, and judge the classifier honestly."""

__version__ = "0.1.0"
