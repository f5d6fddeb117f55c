"""What a relay and a transceiver do alike as services of a machine.

Must not live here: anything that one of the two does alone.
"""
