"""Virtual Bluetooth radios: Bumble's controllers on one air that the test owns.

``Air`` and ``Radio`` put right what Bumble 0.0.236's link and controller leave out, and what two
devices that dial at once, or BlueZ, will notice. Each correction has a test in
``test_air.py``, so that another Bumble shows what changed.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import quick_bumble  # noqa: F401  # for its effect
from bumble import core, hci, ll
from bumble.controller import Connection, Controller
from bumble.link import LocalLink

ACL_BYTES = 251  # of a 4.2 controller
REPEAT_S = 3.0  # a chip's list of duplicates is short, so the same advert comes again
RATE_VALUE_BYTES = 489  # what the rate is told in: values of this size ...
RATE_PDU_BYTES = 496  # ... with the heads of ATT and L2CAP


class Air(LocalLink):
    """Everything in reach of everything else, but for what ``hears`` forbids."""

    def __init__(self) -> None:
        super().__init__()
        self.hears: Callable[[Controller, Controller], bool] = lambda a, b: True
        """Whether an advert or a request of the first reaches the second."""
        self.adverts: list[tuple[str, bytes]] | None = None
        """Address and data of each advert, if a list."""
        self.data: list[bytes] | None = None
        """What is sent on connections, if a list."""
        self.on_data: Callable[[], object] | None = None
        """Called after each of these."""

    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: hci.Address,
        transport: core.PhysicalTransport,
        data: bytes,
    ) -> None:
        """Route by connection, not by the sender's address of the moment: addresses rotate."""
        connection = sender_controller.le_connections.get(destination_address)
        receiver = self.find_le_controller(destination_address)
        if self.data is not None:
            self.data.append(data)
        if self.on_data is not None:
            self.on_data()
        if connection is None or receiver is None:
            return
        asyncio.get_running_loop().call_soon(
            receiver.on_link_acl_data, connection.self_address, transport, data
        )

    def send_ll_control_pdu(
        self, sender_address: hci.Address, receiver_address: hci.Address, packet: ll.ControlPdu
    ) -> None:
        """A peer that has gone is silence, not an exception in the sender."""
        if self.find_le_controller(receiver_address):
            super().send_ll_control_pdu(sender_address, receiver_address, packet)

    def send_advertising_pdu(
        self, sender_controller: Controller, packet: ll.AdvertisingPdu
    ) -> None:
        loop = asyncio.get_running_loop()
        if isinstance(packet, ll.ConnectInd):
            loop.call_soon(self._connect, sender_controller, packet)
            return
        if self.adverts is not None and (data := getattr(packet, "data", None)) is not None:
            self.adverts.append((str(packet.advertiser_address), bytes(data)))
        for other in self.controllers:
            if other is not sender_controller and self.hears(sender_controller, other):
                loop.call_soon(other.on_ll_advertising_pdu, packet)

    def _connect(self, central: Controller, packet: ll.ConnectInd) -> None:
        """Fail with 0x3E where nobody took the request, and refuse a second link of one pair.

        Bumble's central believes that it is connected whatever the advertiser does.
        """
        ours, theirs = packet.initiator_address, packet.advertiser_address
        for other in list(self.controllers):
            if other is central or ours in other.le_connections or not self.hears(central, other):
                continue
            other.on_ll_advertising_pdu(packet)
            if ours in other.le_connections:
                return
        connection = central.le_connections.get(theirs)
        if connection:
            central.on_le_disconnected(
                connection, hci.HCI_ErrorCode.CONNECTION_FAILED_TO_BE_ESTABLISHED_ERROR
            )

    def cut(self, one: Controller, other: Controller) -> None:
        """End the connection of two radios as loss of the signal does."""
        for me, it in ((one, other), (other, one)):
            addresses = {c.self_address for c in it.le_connections.values()}
            for connection in list(me.le_connections.values()):
                if connection.peer_address in addresses | {it.random_address, it.public_address}:
                    me.on_le_disconnected(connection, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)

    def remove(self, radio: Controller) -> None:
        """The adapter vanished: its adverts end, its peers see a time-out."""
        radio.le_legacy_advertiser.stop()
        for each in radio.advertising_sets.values():
            each.stop()
        for connection in list(radio.le_connections.values()):
            peer = self.find_le_controller(connection.peer_address)
            if peer:
                peer.on_ll_control_pdu(
                    connection.self_address,
                    ll.TerminateInd(hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR),
                )
        if radio in self.controllers:
            self.remove_controller(radio)


class Radio(Controller):
    """A controller with the corrections, and a rate if it is to have one."""

    rate: float = 0.0
    """Bytes of values a second that leave, over all connections; 0: as fast as the machine."""
    _free_at = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reported: dict[object, tuple[bytes, float]] = {}

    def on_advertising_pdu(self, pdu: ll.AdvInd | ll.AdvExtInd) -> None:
        """Report a sender once in a while where the system asked for no duplicates: Bumble reports
        each advert, and an emulated machine does nothing but read them."""
        if self.le_scan_enable and self.filter_duplicates and not self.pending_le_connection:
            now = asyncio.get_running_loop().time()
            data, when = self._reported.get(pdu.advertiser_address, (b"", 0.0))
            if data == bytes(pdu.data) and now < when + REPEAT_S:
                return
            self._reported[pdu.advertiser_address] = bytes(pdu.data), now
        super().on_advertising_pdu(pdu)

    def on_hci_le_set_scan_enable_command(
        self, command: hci.HCI_LE_Set_Scan_Enable_Command
    ) -> hci.HCI_StatusReturnParameters:
        self._reported.clear()
        return super().on_hci_le_set_scan_enable_command(command)

    def on_hci_reset_command(
        self, command: hci.HCI_Reset_Command
    ) -> hci.HCI_StatusReturnParameters:
        """Be silent and deaf, as a controller is after a reset; Bumble goes on as before."""
        self.le_legacy_advertiser.stop()
        for each in self.advertising_sets.values():
            each.stop()
        self.advertising_sets.clear()
        self.le_scan_enable = False
        self.pending_le_connection = None
        return super().on_hci_reset_command(command)

    def on_hci_acl_data_packet(self, packet: hci.HCI_AclDataPacket) -> None:
        if not self.rate:
            super().on_hci_acl_data_packet(packet)
            return
        loop = asyncio.get_running_loop()
        took = len(packet.data) * RATE_VALUE_BYTES / RATE_PDU_BYTES / self.rate
        self._free_at = max(self._free_at, loop.time()) + took
        loop.call_at(self._free_at, super().on_hci_acl_data_packet, packet)

    def on_hci_le_create_connection_cancel_command(
        self, command: hci.HCI_LE_Create_Connection_Cancel_Command
    ) -> hci.HCI_StatusReturnParameters:
        """Bumble acknowledges a cancel but stays pending for ever."""
        if self.end_dial():
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)

    def end_dial(self) -> bool:
        """Tell the system that its dial is over; False: there was none."""
        pending, self.pending_le_connection = self.pending_le_connection, None
        if pending is None:
            return False
        self.send_hci_packet(
            hci.HCI_LE_Connection_Complete_Event(
                status=hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
                connection_handle=0,
                role=hci.Role.CENTRAL,
                peer_address_type=pending.peer_address.address_type,
                peer_address=pending.peer_address,
                connection_interval=0,
                peripheral_latency=0,
                supervision_timeout=0,
                central_clock_accuracy=0,
            )
        )
        return True

    def on_hci_le_create_connection_command(
        self, command: hci.HCI_LE_Create_Connection_Command
    ) -> hci.HCI_StatusReturnParameters | None:
        if command.peer_address in self.le_connections:
            self._send_hci_command_status(
                hci.HCI_ErrorCode.CONNECTION_ALREADY_EXISTS_ERROR, command.op_code
            )
            return None
        return super().on_hci_le_create_connection_command(command)

    def on_le_disconnected(self, connection: Connection, reason: int) -> None:
        if self.le_connections.get(connection.peer_address) is connection:
            super().on_le_disconnected(connection, reason)


def make_radio(
    index: int,
    air: Air,
    source: object = None,
    sink: object = None,
    *,
    extended: bool = False,
) -> Radio:
    """A controller on the air, fit for BlueZ as well; ``extended`` ones cannot be connected there,
    only heard."""
    radio = Radio(f"C{index}", host_source=source, host_sink=sink, link=air)  # type: ignore[arg-type]
    # BlueZ keys the static address it makes by manufacturer: keep them apart.
    radio.manufacturer_company_identifier = 0xB100 + index
    # Linux waits for the enhanced event where either of these is offered; Bumble never sends it.
    radio.le_features &= ~(
        hci.LeFeatureMask.LL_PRIVACY
        | hci.LeFeatureMask.LE_EXTENDED_ADVERTISING
        | hci.LeFeatureMask.LE_PERIODIC_ADVERTISING
    )
    if extended:
        radio.le_features |= hci.LeFeatureMask.LE_EXTENDED_ADVERTISING
    radio.le_acl_data_packet_length = ACL_BYTES
    radio.supported_max_tx_octets = radio.supported_max_rx_octets = ACL_BYTES
    radio.supported_max_tx_time = radio.supported_max_rx_time = 2120
    return radio
