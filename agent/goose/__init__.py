"""GOOSE (IEC 61850-8-1) and R-GOOSE: frames, publisher and subscriber state machines, and a thin I/O shell.

From the wire up, all but ``link`` without I/O; times are integer µs UTC and always arguments:

- ``codec``: ``decode(apdu) -> Pdu``, ``encode(pdu) -> bytes``, ``Data``, ``Kind``; it raises ``CodecError`` only.
- ``layout``: ``Layout`` packs and unpacks the PDU of a known data set in 2 µs.
- ``frame``: ``parse(frame) -> Frame``, ``Envelope.seal(apdu)``; Ethernet, 802.1Q, Reserved, the 62351-6 extension.
- ``session``: ``parse(datagram) -> Datagram``, ``SessionEnvelope.seal(apdu)``; R-GOOSE and R-SV over UDP.
- ``signing``: ``Signer``, which key signs now; ``opener`` and ``sealer``: the common case of both ways, compiled.
- ``stream``: ``Stream``, one control block with its addresses and timing.
- ``dataset``: ``report_data_set(zones, devices)``, ``command_data_set()``, ``status_data_set()`` -> ``DataSet``.
- ``publisher``: ``Publisher(stream, data_set, key, source=link.address, first_st_num=…)``:
  ``.publish(message, now) -> payload``, ``.timer(now) -> payload | None``, ``.deadline``, ``.st_num``.
- ``subscriber``: ``Subscriber(stream, data_set, keys, mark=…)``:
  ``.receive(payload, now) -> Accepted(message, new, head) | Dropped(reason)``, ``.timer(now) -> Lost | None``,
  ``.deadline``, ``.counters`` by cause.
- ``link``: ``open_link(L2(interface, macs) | Udp(groups, port, interface_address)) -> Link``:
  ``.fileno()``, ``.send(payload, group) -> bool``, ``.receive() -> list[Received(payload, source, t_us)]``.
- ``endpoint``: ``Endpoint(link, publishers, subscribers)``: ``.publish(publisher, message, now)``,
  ``.receive() -> list[Heard(subscriber, result, t_us)]``, ``.timer(now) -> list[Silent]``, ``.deadline``.

Keys: ``agent.security.keys.load(path).schedule(name) -> KeyGroup``, of which the one whose time it is signs.
"""
