"""From pictures to features: the built-in descriptor, two networks with public weights, any ONNX file."""
