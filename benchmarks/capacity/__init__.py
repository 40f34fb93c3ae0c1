"""What a number of turns a day needs: machines, hours, storage and money, from measured unit costs.

    python -m benchmarks.capacity [--turns-per-day N …] [--days 90] [--texts 0.4] [prices…]
    python -m benchmarks.capacity --measure STORE [--large STORE]    measures the unit costs again

The measured costs stand in `costs.json`, with the date; the arithmetic in
`benchmarks.capacity.plan`; the tables in docs/scale.md are what this command prints.
"""
