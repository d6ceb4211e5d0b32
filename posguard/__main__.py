"""`python -m posguard`: the same as the program `posguard`."""

from posguard.cli.entry import main

if __name__ == "__main__":
    main()
