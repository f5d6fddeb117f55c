package main

import (
	"errors"
	"log"
	"net"
	"net/netip"
	"syscall"
)

// flow is a client's way up: a connected socket of its own, or an address for the shared one.
type flow struct {
	upstream *net.UDPConn
	to       netip.AddrPort
	toUDP    *net.UDPAddr // the same for WriteBatch, made once
}

// table belongs to one goroutine; only the clients' socket is shared with the flows' readers.
type table struct {
	listener *net.UDPConn
	shared   *net.UDPConn // nil when flows have sockets
	flows    map[netip.AddrPort]*flow
	batch    int
}

func newTable(listener *net.UDPConn, chosen options) (*table, error) {
	made := &table{listener: listener, flows: make(map[netip.AddrPort]*flow, 1<<14), batch: chosen.batch}
	if !chosen.isShared {
		return made, nil
	}
	shared, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return nil, err
	}
	made.shared = shared
	return made, shared.SetWriteBuffer(chosen.buffer)
}

func (table *table) receiveOneByOne() error {
	packet := make([]byte, slotBytes)
	for {
		length, client, err := table.listener.ReadFromUDPAddrPort(packet)
		if err != nil {
			if isPassing(err) {
				continue
			}
			return err
		}
		if way := table.find(client, packet[:length]); way != nil {
			table.sendUp(way, packet[:length])
		}
	}
}

// find returns the client's flow, or makes one when this packet names a transceiver.
func (table *table) find(client netip.AddrPort, packet []byte) *flow {
	if way, isKnown := table.flows[client]; isKnown {
		return way
	}
	to, isCheck := routeOf(packet)
	if !isCheck {
		return nil
	}
	way := &flow{to: to, toUDP: net.UDPAddrFromAddrPort(to)}
	if table.shared == nil {
		upstream, err := net.DialUDP("udp4", nil, way.toUDP)
		if err != nil {
			log.Printf("upstream of %s: %v", client, err)
			return nil
		}
		way.upstream = upstream
		go table.answer(upstream, client)
	}
	table.flows[client] = way
	return way
}

func (table *table) sendUp(way *flow, packet []byte) {
	var err error
	if way.upstream != nil {
		_, err = way.upstream.Write(packet)
	} else {
		_, err = table.shared.WriteToUDPAddrPort(packet, way.to)
	}
	if err != nil && !isPassing(err) {
		log.Printf("to %s: %v", way.to, err)
	}
}

// answer brings what the transceiver sends to one client.
func (table *table) answer(upstream *net.UDPConn, client netip.AddrPort) {
	var err error
	if table.batch > 1 {
		err = table.answerBatches(upstream, client)
	} else {
		err = table.answerOneByOne(upstream, client)
	}
	if !errors.Is(err, net.ErrClosed) {
		log.Printf("answers for %s: %v", client, err)
	}
}

func (table *table) answerOneByOne(upstream *net.UDPConn, client netip.AddrPort) error {
	packet := make([]byte, slotBytes)
	for {
		length, err := upstream.Read(packet)
		if err == nil {
			_, err = table.listener.WriteToUDPAddrPort(packet[:length], client)
		}
		if err != nil && !isPassing(err) {
			return err
		}
	}
}

// isPassing: the other end is away for the moment, which an ICMP message told this socket.
func isPassing(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED)
}
