"""`python -m etl` is `costroll`."""

from etl.cli import main

main()
