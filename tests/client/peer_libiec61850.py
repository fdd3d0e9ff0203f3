"""A server of others (libiec61850, through pyiec61850-ng) with its own threads, and its own TLS if a folder is named.

    python tests/client/peer_libiec61850.py PORT FILES [FOLDER NAME]

A breaker with each control model, a counter in a buffered and an unbuffered block, and the files of a folder. Orders:

    count N     the counter goes up by one, N times
    refuse      the next command ends with a negative termination (blocked by process)
    works       commands are carried out again
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

MODELS = {
    "SPCSO1": "DIRECT_NORMAL", "SPCSO2": "SBO_NORMAL", "SPCSO3": "DIRECT_ENHANCED", "SPCSO4": "SBO_ENHANCED",
}  # fmt: skip


class Peer:
    def __init__(self, iec: Any, files: str, folder: str, name: str) -> None:
        self._iec = iec
        self._kept: list[Any] = []
        self.refuse = False
        self.count = 0
        model = self._model()
        self.server = iec.IedServer_createWithTlsSupport(model, self._tls(folder, name)) if folder else (
            iec.IedServer_create(model)
        )  # fmt: skip
        iec.IedServer_setFilestoreBasepath(self.server, files)
        iec.IedServer_setLocalIpAddress(self.server, "127.0.0.1")
        for control, node in self._controls.items():
            self._handle(control, node)

    def _model(self) -> Any:
        iec = self._iec
        model = iec.IedModel_create("PEER")
        device = iec.LogicalDevice_create("LD0", model)
        zero = iec.LogicalNode_create("LLN0", device)
        node = iec.LogicalNode_create("GGIO1", device)
        counter = iec.DataObject_create("Cnt", iec.toModelNode(node), 0)
        parent = iec.toModelNode(counter)
        self._counter = iec.DataAttribute_create("stVal", parent, iec.IEC61850_INT32, iec.IEC61850_FC_ST, 1, 0, 0)
        iec.DataAttribute_create("q", parent, iec.IEC61850_QUALITY, iec.IEC61850_FC_ST, 2, 0, 0)
        iec.DataAttribute_create("t", parent, iec.IEC61850_TIMESTAMP, iec.IEC61850_FC_ST, 0, 0, 0)
        self._controls = {
            name: iec.CDC_SPC_create(name, iec.toModelNode(node), 0, getattr(iec, f"CDC_CTL_MODEL_{kind}"))
            for name, kind in MODELS.items()
        }
        data_set = iec.DataSet_create("ds", zero)
        iec.DataSetEntry_create(data_set, "GGIO1$ST$Cnt", -1, None)
        iec.ReportControlBlock_create("brcb01", zero, "", True, "ds", 1, 19, 0xFF, 0, 0)
        iec.ReportControlBlock_create("urcb01", zero, "", False, "ds", 1, 19, 0xFF, 0, 0)
        return model

    def _tls(self, folder: str, name: str) -> Any:
        iec = self._iec
        tls = iec.TLSConfiguration_create()
        iec.TLSConfiguration_setChainValidation(tls, True)
        iec.TLSConfiguration_setAllowOnlyKnownCertificates(tls, False)
        iec.TLSConfiguration_setMinTlsVersion(tls, iec.TLS_VERSION_TLS_1_2)
        assert iec.TLSConfiguration_setOwnKeyFromFile(tls, f"{folder}/{name}.key", None)
        assert iec.TLSConfiguration_setOwnCertificateFromFile(tls, f"{folder}/{name}.pem")
        assert iec.TLSConfiguration_addCACertificateFromFile(tls, f"{folder}/ca.pem")
        return tls

    def _handle(self, name: str, node: Any) -> None:
        iec, peer = self._iec, self

        class Control(iec.ControlHandlerForPython):  # type: ignore[misc, name-defined]
            def trigger(self) -> None:
                if peer.refuse:
                    iec.ControlAction_setAddCause(self._libiec61850_control_action, iec.ADD_CAUSE_BLOCKED_BY_PROCESS)
                    self._libiec61850_control_handler_result = iec.CONTROL_RESULT_FAILED
                    return
                value = iec.MmsValue_getBoolean(self._libiec61850_mms_value)
                child = iec.ModelNode_getChild(iec.toModelNode(node), "stVal")
                iec.IedServer_updateBooleanAttributeValue(peer.server, iec.toDataAttribute(child), value)
                self._libiec61850_control_handler_result = iec.CONTROL_RESULT_OK

        handler = Control()
        handler.thisown = 0
        subscriber = iec.ControlSubscriberForPython()
        subscriber.setIedServer(self.server)
        subscriber.setControlObject(node)
        subscriber.setControlHandler(handler)
        assert subscriber.subscribe()
        self._kept += [handler, subscriber]

    def serve(self, port: int) -> None:
        iec = self._iec
        iec.IedServer_start(self.server, port)
        assert iec.IedServer_isRunning(self.server)

    def up(self, times: int) -> None:
        iec = self._iec
        for _ in range(times):
            self.count += 1
            iec.IedServer_lockDataModel(self.server)
            iec.IedServer_updateInt32AttributeValue(self.server, self._counter, self.count)
            iec.IedServer_unlockDataModel(self.server)
            time.sleep(0.0005)


def main(port: int, files: str, folder: str = "", name: str = "") -> None:
    import pyiec61850.pyiec61850 as iec

    peer = Peer(iec, files, folder, name)
    peer.serve(port)
    print("ready", flush=True)
    for line in sys.stdin:
        what, _, number = line.strip().partition(" ")
        if what == "count":
            peer.up(int(number))
        else:
            peer.refuse = what == "refuse"
        print(peer.count, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
