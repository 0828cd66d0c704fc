"""Converts class names to the labels of a task."""
