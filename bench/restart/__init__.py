"""How long a call is silent when a relay dies, is replaced, or is lost with its host.

Lives here: real relays under their supervisors, hosts as network namespaces, silence call by call. Must not live here:
the calls themselves (bench.load.callers), whole calls with keys and sound (bench.calls, bench.designs).
"""
