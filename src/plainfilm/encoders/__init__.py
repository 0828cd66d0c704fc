"""ONNX networks of other programs: reads them, and prepares images as they expect them."""
