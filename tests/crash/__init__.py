"""Does what was acknowledged survive? Kills, power cuts, failing calls and a full disk, against the real thing.

`server.py` a real server process, `clients.py` the load and its ledger, `verdict.py` what must hold afterwards,
`shim.c` and `shim.py` what watches and fails the calls of a process, `power.py` what a power cut leaves of a folder.
"""
