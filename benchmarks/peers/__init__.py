"""Faultline beside the tools that people would otherwise use for a part of what it does.

    python -m benchmarks.peers STORE [--turns 5000] [--environments .cache/peers] [--part PART…]

STORE is a scored store, such as that of `faultline demo`. Each peer is installed into a virtual
environment of its own (`benchmarks.peers.environments`), runs on the same machine in the same run,
and gets the same turns, matrix or texts. Prints Markdown for docs/benchmarks.md.

- `tracing`: Arize Phoenix and `faultline collect` receive the same spans over OTLP.
- `explaining`: explainerdashboard, `shap` and Faultline explain the same rows of the same model.
- `encoding`: sentence-transformers and Faultline's encoder encode the same texts.
"""
