"""Shared parts of every server: loaded bundles, batching, limits, logs and counters.

:class:`~plainfilm.inference.engine.Engine` turns the bytes of a file into a prediction. It uses the
bundles of ``registry``, a pool of decoding processes, ``batching`` for runs of the network, and
``log`` and ``telemetry`` for its records. Nothing here depends on a protocol such as HTTP.
"""
