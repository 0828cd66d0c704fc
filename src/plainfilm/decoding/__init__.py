"""Decodes files in sandboxed processes, each of which may die without harm to the caller."""
