package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
)

const (
	stunHeader  = 20
	stunUser    = 6
	routeDigits = 12
)

var stunCookie = []byte{0x21, 0x12, 0xa4, 0x42}

// routeOf is the transceiver that the ufrag of a STUN check names: its first 12 hexadecimal digits are address and port.
func routeOf(packet []byte) (netip.AddrPort, bool) {
	if len(packet) < stunHeader || packet[0] > 3 || !bytes.Equal(packet[4:8], stunCookie) {
		return netip.AddrPort{}, false
	}
	for rest := packet[stunHeader:]; len(rest) >= 4; {
		kind, length := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[2:]))
		rest = rest[4:]
		if length > len(rest) {
			return netip.AddrPort{}, false
		}
		if kind == stunUser {
			return decodeRoute(rest[:length])
		}
		rest = rest[min(len(rest), (length+3)&^3):]
	}
	return netip.AddrPort{}, false
}

func decodeRoute(username []byte) (netip.AddrPort, bool) {
	var route [routeDigits / 2]byte
	if len(username) < routeDigits {
		return netip.AddrPort{}, false
	}
	if _, err := hex.Decode(route[:], username[:routeDigits]); err != nil {
		return netip.AddrPort{}, false
	}
	address := netip.AddrFrom4([4]byte(route[:4]))
	return netip.AddrPortFrom(address, binary.BigEndian.Uint16(route[4:])), true
}
