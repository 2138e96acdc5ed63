"""Watches drop folders and sends each new patient folder to grand-challenge.org, exactly once."""
