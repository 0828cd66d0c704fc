"""Trains probes, a linear layer on the features of an encoder, without a training framework."""
