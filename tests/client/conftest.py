"""The breaker's agent of the small drawing, as in tests/mms."""

from tests.mms.conftest import root, scd, tree

__all__ = ["root", "scd", "tree"]
