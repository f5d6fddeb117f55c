"""The transceiver's supervisor: settings, sockets, workers and their succession, and what operators see and order."""
