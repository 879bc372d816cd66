"""The border to Ray Core: actors, handles, and Ray's errors turned into ours."""
