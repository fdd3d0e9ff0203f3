"""IEC 61850-6 (SCL) in and out, and what is derived from it: topology, addresses, data sets, subscriptions."""
