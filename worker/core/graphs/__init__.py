"""A chart as a person sees it: its words, as Mermaid, and as an SVG picture. Pure."""
