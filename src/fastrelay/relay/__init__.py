"""The edge tier: forwards clients' packets to the transceivers their route tokens name. It owns nothing that matters."""
