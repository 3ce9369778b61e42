"""Fixtures of the fingerprint tests."""

from browser_fixtures import captured, display, run_authority

__all__ = ["captured", "display", "run_authority"]
