"""Evaluates tables of predictions: any classifier, without its images or network."""
