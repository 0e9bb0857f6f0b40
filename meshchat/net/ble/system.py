"""The radio of the system we run on. Its libraries are imported only when they are needed."""

import sys

from meshchat.net.ble.radio import REMEDIES, Central, Ear, Peripheral, RadioTrouble


class SystemRadio:
    """Args: name of the adapter; empty: the first that is on."""

    def __init__(self, adapter: str = "") -> None:
        self._adapter = adapter

    def peripheral(self) -> Peripheral:
        """Raises ``RadioTrouble`` where this system has no Bluetooth for programs."""
        try:
            if sys.platform == "linux":
                from meshchat.net.ble.peripheral_bluez import BluezPeripheral

                return BluezPeripheral(self._adapter)
            if sys.platform == "darwin":
                from meshchat.net.ble.peripheral_corebluetooth import CoreBluetoothPeripheral

                return CoreBluetoothPeripheral()
            if sys.platform == "win32":
                from meshchat.net.ble.peripheral_winrt import WinrtPeripheral

                return WinrtPeripheral()
        except ImportError as error:
            raise RadioTrouble("no_bluetooth", REMEDIES["no_bluetooth"]) from error
        raise RadioTrouble("no_bluetooth", REMEDIES["no_bluetooth"])

    def central(self, ear: Ear, adapter: str) -> Central:
        """Of the adapter that the peripheral has opened."""
        from meshchat.net.ble.central import BleakCentral

        return BleakCentral(ear, adapter if sys.platform == "linux" else "")
