"""Ways out for what a scheduler tells: ``contrib.prometheus`` and ``contrib.opentelemetry``, each with its extra."""
