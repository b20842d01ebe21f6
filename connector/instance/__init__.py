"""The processes of one `serve`: a supervisor, its workers, and in each worker one bridge.

Puts the other rooms together; nothing but the command line imports it.
"""
