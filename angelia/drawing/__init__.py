"""How pages look: charts as SVG text, HTML parts, one style sheet.

Public face: `charts` (numbers in, SVG out), `svg` (what charts are made of) and `page` (texts and rows in,
HTML out). Knows nothing of what is drawn; reads and writes nothing; equal inputs give equal bytes.
"""
