"""Stores in an object store: addresses, requests, and the local mirror of such a store."""
