"""fastrelay: a WebRTC relay for voice agents.

Nothing is imported here, so that `import fastrelay` costs nothing. The public doors are `fastrelay.routing` (key rings
and route tokens, for servers that mint), `fastrelay.wire` (the formats as values) and `fastrelay.errors`.
"""
