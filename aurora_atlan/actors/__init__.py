"""The actors that accept, serialise and commit booking attempts."""
