"""The MMS client: discovery, reading, reports without loss, control, files, over TLS; asyncio, one thread.

Octets are coded by open61850 (pure functions); what is on the wire and when is decided here: :mod:`endpoint` and
:mod:`reports` are sans I/O, :mod:`link` owns the socket, :mod:`session` keeps a server connected.
"""
