"""A small reference voice assistant whose stages really run and really fail."""
