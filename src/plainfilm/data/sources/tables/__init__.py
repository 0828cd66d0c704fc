"""Reads tables of images: files, columns, labels, joins and splits."""
