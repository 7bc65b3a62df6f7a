"""Floor 8: HTTP <-> types. The only place that knows status codes.

`run` starts Granian with one worker that opens the engine; `door` is the outermost ASGI callable; `app` is the
Litestar application behind it; `routes` has a file for each noun; `problems` is the one table from errors to answers.
"""
