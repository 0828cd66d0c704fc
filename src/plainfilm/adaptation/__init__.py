"""Adapts a bundle to the images of another site: calibration and thresholds, not the network."""
