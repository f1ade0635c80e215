"""Program that sends and observes traffic at a vantage: `python -m lbproof.probe`.

Standard library alone, and nothing else of lbproof, so that it also runs in a pod that has only `python3` (3.11): there
its code is sent over standard input first (`lbproof.witnesses.bootstrap`).

Protocol: JSON objects, one a line. The suite writes to the probe's standard input, the probe to its standard output.

- The probe begins with `{"hello": {"version": 1, "pid": ..., "boot_id": ..., "time_namespace": ...}}`.
- `{"clock": N}` is answered at once by `{"clock": N, "t": time.monotonic()}`.
- `{"id": 7, "task": "http", ...}` starts a task, the other fields are its arguments. `{"id": 7, "tell": {...}}` passes
  a message to a running task, `{"id": 7, "cancel": true}` asks it to end. Both are ignored when it has ended.
- A task that has something to wait for first, such as an open socket, answers `{"id": 7, "ready": t, "token": 0}`. To a
  message with a token it answers the same with that token, after the records that belong to it.
- Records come as any number of `{"id": 7, "n": 12, "records": [...]}`, where `n` is the number of the first record of
  the line, counted from 0.
- The last line of a task is `{"id": 7, "end": {"records": count, "dropped": count, ...}}` or `{"id": 7, "error": text,
  "errno": number or null}`. `dropped` counts what the kernel dropped before the probe read it.
- Every moment is `time.monotonic()` of the vantage. Bytes are base64.
- A line that is not a request ends the probe, with the reason on standard error. So does the end of standard input.

A task is a module of `lbproof.probe.tasks`; its docstring says how to add one.
"""
