"""The settings: `tables` mirrors config/connector.toml, `load` reads file, environment and secrets, `producer` derives.

Nothing is read at import; imports nothing of the package but records, errors and seals.
"""
