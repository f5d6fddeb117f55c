"""Configuration of any of fastrelay's processes: a TOML file, the environment and flags, read strictly into values.

Lives here: what a setting is (schema, kinds), where a key stands in a file (locations), reading and precedence
(reading), and the description of a schema for people and tools (description).
Must not live here: any particular setting. A process declares its own and makes its own settings of them
(fastrelay.relay.configuration).
"""
