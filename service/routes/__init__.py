"""The REST interface: thin handlers that parse, call and shape the answer."""
