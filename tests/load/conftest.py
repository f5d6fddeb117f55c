"""The key ring of the live tests, for these as well."""

from tests.live.conftest import ring, ring_file

__all__ = ["ring", "ring_file"]
