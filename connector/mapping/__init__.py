"""A schema in, a function that writes Avro out; and what two schemas are to each other.

Pure, and knows no callback: nothing here imports the pipeline, the catalogue or a client.
"""
