"""Pictures and files made from frames."""
