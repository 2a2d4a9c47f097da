"""Whole nights to measure on: plans, policies, and sites that live through several."""
