"""Model folders on disk: the end of the offline spine and the beginning of the online one.

Floor 2. In: what a deployment writes into a folder, and `About`, what it says of itself. Out: `<data>/artifacts/`:
`<version>/`, one folder a deployment with its `manifest.json`, and the pointer `current`. `store.py` holds the
versions, `manifest.py` what one of them says of itself, `shared.py` what several have in common; models put arrays into
it (`recengine/arrays.py`).
"""
