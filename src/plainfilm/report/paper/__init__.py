"""Tables as LaTeX and Markdown and figures as PDF, for a paper."""
