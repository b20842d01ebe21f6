"""The processes of one `serve`: a supervisor, its workers, and one bridge in each worker.

This room connects the other rooms. Only the command line imports it.
"""
