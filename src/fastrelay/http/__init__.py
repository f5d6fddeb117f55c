"""Signalling, telemetry and the demo page over HTTP. What a call is, and its media, is not known here."""
