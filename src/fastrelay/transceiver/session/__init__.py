"""A WebRTC session as a state machine: bytes and time in, bytes and events out. No socket, no clock, no task."""
