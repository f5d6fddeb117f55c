"""The transceiver: the process that ends WebRTC for its sessions. So far its end of the trunk, and an echo on it.

The door for who writes a transceiver of their own (docs/trunk.md specifies what travels):

    from fastrelay.transceiver import open_trunk_port

    with open_trunk_port(("10.0.0.7", 4000), ring, [ip_network("10.0.0.0/8")]) as port:
        port.send([(path, payload) for path, payload in port.receive()])

Must not live here: anything of the relay. The two tiers meet on the trunk alone.
"""

from fastrelay.transceiver.trunk_port import OpenTrunkPort, Path, TrunkPort, open_trunk_port

__all__ = ["OpenTrunkPort", "Path", "TrunkPort", "open_trunk_port"]
