"""The version of the package. Floor 0."""

__version__ = "0.1.0"
