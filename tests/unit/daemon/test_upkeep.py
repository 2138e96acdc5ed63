"""What is done once an hour never touches what is not gcwatch's."""

import pytest
from support.builders import Site

from gcwatch.daemon.upkeep import clear_spool


@pytest.mark.parametrize("is_link", [False, True])
def test_only_folders_of_cases_are_removed_from_the_spool(sandbox, tmp_path, is_link):
    """The spool may be a link to a larger disk, on which other things are."""
    site, other = Site(tmp_path / "site", sandbox), tmp_path / "other"
    left = ("lobes-abcdefgh-1", "send-1-23456789-12")
    kept = ("home", "lobes", "backup-2026-11", "lobes-abcdefgh", "data-1")
    for name in (*left, *kept):
        (other / name).mkdir(parents=True)
    (other / "lobes-aaaaaaaa-1").symlink_to(other / "home")
    with site.watch() as watch:
        spool = site.state / "spool"
        if is_link:
            spool.symlink_to(other)
        else:
            other.rename(spool)
        clear_spool(spool, watch.journal)
    assert sorted(each.name for each in spool.iterdir()) == sorted((*kept, "lobes-aaaaaaaa-1"))
