"""The network: wav2vec 2.0 in torch, and nothing else. Floor 2; needs the extra `torch`."""
