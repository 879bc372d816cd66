"""Who may do what: keys, principals, and the one decision every request passes."""
