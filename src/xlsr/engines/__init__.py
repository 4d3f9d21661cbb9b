"""Engines turn waveforms into log-probabilities; everything above them is NumPy. Floor 3."""
