"""The test of a redaction: reads the service as a client does, and says clean, leak or not found.

- `api_client.py`: reads streams over HTTP. `check.py`: compares what came with what Kafka has.
- `page_filter.py`: which events are of the page. `json_members.py`: JSON as it was written.
- `verdict.py`: what in an event names somebody. These three share no code with `redaction.redactor`.
- `proof.py`, `findings.py`: what the result proves, as sentences. `test_edit.py`: an edit that is made for the test.

The page and its form are in `redaction/admin/`: nothing here may import the admin.
"""
