"""The version of the package, read by the build and by stored runs."""

__version__ = "0.1.0"
