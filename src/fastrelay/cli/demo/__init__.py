"""What `fastrelay up` starts: a relay and a transceiver, each with its own supervisor in a process that ends with us.

Lives here: those processes and how they report. Must not live here: what the two do, what is shown (fastrelay.cli.up).
"""
