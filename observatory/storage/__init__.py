"""The only room that knows SQL and where files lie."""
