"""HTML elements, tables, pages and their styles."""
