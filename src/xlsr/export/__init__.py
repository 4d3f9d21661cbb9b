"""Networks as graphs of other runtimes. Floor 5; needs the extras `torch`, and `export` for ONNX."""
