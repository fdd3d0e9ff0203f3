"""The IED's MMS server, through libiec61850."""
