"""ONNX networks that turn images into features, and how they expect images."""
