"""Helpers of the tests: what they build, break, kill and check with. No test is in here."""
