"""Tags of the admin's templates, where Django looks for them.

In reading order: `streams_admin.py` (tags of the pages), `addresses.py` (addresses below `url_prefix`).

Never imported here: `streams.http`, `redaction`, `eventstreams_site`.
"""
