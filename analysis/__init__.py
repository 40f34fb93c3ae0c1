"""Statistics over tables: rates with intervals, change points, what moved, error budgets."""
