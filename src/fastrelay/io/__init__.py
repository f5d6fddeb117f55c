"""Sockets, for relay and transceiver alike: opening them with the options the compiled loops count on."""
