"""The settings: `tables` mirrors config/connector.toml, `load` reads file, environment and secrets.

`producer` derives the producer's configuration. Nothing is read at import. Of the package, only records, errors and seals are
imported here.
"""
