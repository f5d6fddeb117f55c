"""The edge tier: forwards packets to the transceivers that route tokens name. It owns nothing that matters."""
