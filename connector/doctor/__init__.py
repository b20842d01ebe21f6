"""Every dependency of the bridge tried from here, each check with what to do about what it finds.

Nothing is changed anywhere, and no record is produced.
"""
