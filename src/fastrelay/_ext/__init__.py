"""Where the compiled modules land: `codec`, `relay_loop` and `trunk_port`, built from `ext/`.

Nothing else lives here but their hand-written stubs. Import them through the doors that check and document them:
`fastrelay.routing`, `fastrelay.relay.dataplane` and the transceiver's trunk port.
"""
