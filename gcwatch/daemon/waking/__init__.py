"""What wakes the loop: times, signals and a clock that is set. No work on cases may come in."""
