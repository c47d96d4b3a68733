"""From pictures to features: the built-in descriptor, GoogLeNet, and any ONNX file."""
