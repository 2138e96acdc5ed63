"""`python -m gcwatch`: the commands."""

from gcwatch.cli import main

if __name__ == "__main__":
    main()
