"""The benchmarks: asyncsched beside its peers and its limits, in one interleaved run. ``scripts/bench`` starts them,
``docs/benchmarks.md`` says how they measure. The tests do not collect this folder.

    __main__ ──▶ _environment (interpreters, peers) ──▶ _rounds ──▶ run (a fresh process for each measurement)
        │                                                            └─▶ measures.* with contestants.*
        └─▶ _ratios, _bars ──▶ _markdown, _chart; _regressions
"""
