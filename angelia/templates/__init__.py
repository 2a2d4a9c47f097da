"""Message templates: Liquid, compiled once per material and run in a sandbox.

Public face: `rendering.TemplateSet`. Used by the catalog (checks, preview), planning (fields) and delivery.
"""
