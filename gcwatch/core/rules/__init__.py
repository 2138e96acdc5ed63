"""What a route says in a text or table of its own: limits, regions, series. Pure, as core is."""
