"""The catalog in one SQLite file. No other room imports SQLAlchemy."""
