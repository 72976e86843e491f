"""What is measured, one module each, with a function ``measure(order)`` that returns the values by metric."""
