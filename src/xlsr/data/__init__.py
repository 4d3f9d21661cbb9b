"""Corpora on their way into training: manifests, batches. Floor 2; NumPy only."""
