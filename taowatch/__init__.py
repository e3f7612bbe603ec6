"""taowatch: watches the mapping between host and container of NVIDIA's TAO launcher."""

__version__ = "0.1.0"
