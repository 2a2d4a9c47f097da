"""The predicate language: SQL text to a plan over bitmaps.

Public face: `predicate.parse`; `fields` and `functions` say what may be asked, `plan` orders what is read.
"""
