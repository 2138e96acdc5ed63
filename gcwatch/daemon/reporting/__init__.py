"""What the daemon tells of itself: to systemd, and in status files. It may change no case."""
