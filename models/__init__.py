"""PyTorch architectures and their ONNX export; needs the extra `train`; only `recengine.offline.neural` imports it."""
