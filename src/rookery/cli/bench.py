"""`rookery bench`: the load tool stands by itself in `rookery.bench`."""

from rookery.bench.cli import bench

__all__ = ["bench"]
