"""The embedded gallery: Qdrant Edge, the server's own engine in our process.

A generation is a folder; `folder.py` says which is in service and who may touch it, `shard.py`
speaks to the engine, `records.py` knows what need not be embedded again.
"""
