"""The relays that fastrelay is compared with, each started, driven, measured and stopped in one way."""
