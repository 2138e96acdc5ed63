"""File names as Django keeps them."""

import re


def safe_filename(name: str) -> str:
    """A component file's name (contract 8): "my file (1).json" becomes "my_file_1.json"."""
    return re.sub(r"(?u)[^-\w.]", "", name.strip().replace(" ", "_")) or "file"
