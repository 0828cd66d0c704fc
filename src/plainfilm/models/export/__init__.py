"""Exports Keras networks as ONNX graphs, layer by layer."""

from plainfilm.models.export.activation_map import has_activation_map
from plainfilm.models.export.network import feature_network, to_onnx

__all__ = ["feature_network", "has_activation_map", "to_onnx"]
