"""What a client may ask for besides events: an end, and checkpoints. Most ask for neither.

Reading order: `end` (where each partition ends, and after how many events), `checkpoints` (when one is due), `terms`
(both, as the pull loop asks for them), `sink` (the same for a client that is live, as a sink before its real one).

Never imported here: Django, `streams.http`, `redaction`.
"""
