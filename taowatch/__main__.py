"""`python -m taowatch`."""

from taowatch.cli import main

main()
