"""File names and texts, as Django stores and shows them."""

import re


def safe_filename(name: str) -> str:
    """Return a stored file's name (platform 8.8): "my file (1).json" becomes "my_file_1.json"."""
    return re.sub(r"(?u)[^-\w.]", "", name.strip().replace(" ", "_")) or "file"


def clean_html(text: str) -> str:
    """Make a text safe for HTML: remove tags, escape special characters (platform 5.3)."""
    bare = re.sub(r"</?[A-Za-z][^<>]*>", "", text)
    escaped = re.sub(r"&(?!#?\w+;)", "&amp;", bare)
    return escaped.replace("<", "&lt;").replace(">", "&gt;")
