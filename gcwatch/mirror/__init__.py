"""The way down: an archive kept complete in a local folder."""
