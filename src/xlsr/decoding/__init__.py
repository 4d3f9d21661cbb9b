"""Log-probabilities -> hypotheses with frame spans. Floor 2: knows vocabularies and results, but no network."""
