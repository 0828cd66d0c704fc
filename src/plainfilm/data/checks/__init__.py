"""The checks of an audit: each looks at the evidence, and returns what it found.

`plainfilm.data.audit` gathers the evidence and asks them all.
"""
