"""What more than one row decides: lifecycles, quotas, free slugs, and the steps of jobs.

Functions over `catalog.repositories`, each called within one transaction of any store.
"""
