"""Alerts: rules over what is known of frames, and the engine that says which of them fire.

Nothing here reads a clock, a file's modification time, a database or a network: rules, a state and facts go
in, a state and transitions come out. The same engine therefore runs live and over the past.
"""
