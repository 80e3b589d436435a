"""`make bench`: the server held against a plain reference decoder, in ratios from one run. `python -m bench --help`."""
