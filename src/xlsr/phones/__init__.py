"""What phones are to the mouth. Floor 0.

    features.py     a phone as it is written in IPA -> its articulatory features; how far two phones are apart

Knows no language, model or transcription: `metrics` weighs errors by it.
"""

from xlsr.phones.features import FEATURES, distance, distances, features

__all__ = ["FEATURES", "distance", "distances", "features"]
