"""Telling people and programs of alerts: what waits in the outbox goes out through the channels of the settings."""
