"""What a daemon does because other hosts may share its journal."""
