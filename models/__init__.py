"""PyTorch architectures and their ONNX export; needs the extra `train`; reached only from `recengine.offline.neural`."""
