"""The face: REST, live stream and pages."""
