"""A schema in, a function that writes Avro out; also compares schemas.

Pure and independent of callbacks: nothing here imports the pipeline, the catalogue or a client.
"""
