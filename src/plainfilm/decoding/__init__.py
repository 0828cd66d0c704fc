"""Decodes files in sandboxed processes: if one dies or hangs, the caller continues."""
