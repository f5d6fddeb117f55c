"""What `fastrelay up` puts around its relay: callers and an echo, each a process of its own.

Lives here: those processes and how they report. Must not live here: the relay, what is shown (fastrelay.cli.up).
"""
