"""Async use cases over ports: tenants, collections, documents, search. Knows neither HTTP nor
Ray.
"""
