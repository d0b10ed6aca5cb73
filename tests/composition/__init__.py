"""Layers two by two, and all together: what only shows where one meets another."""
