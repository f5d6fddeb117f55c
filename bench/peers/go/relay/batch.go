package main

import (
	"log"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
)

// packets a flow's reader takes in one call: a client gets one in 20 ms, so more would only be memory
const answerBatch = 8

func openMessages(count int) []ipv4.Message {
	messages := make([]ipv4.Message, count)
	for i := range messages {
		messages[i].Buffers = [][]byte{make([]byte, slotBytes)}
	}
	return messages
}

func (table *table) receiveBatches(batch int) error {
	clients := ipv4.NewPacketConn(table.listener)
	in, out := openMessages(batch), make([]ipv4.Message, batch)
	for i := range out {
		out[i].Buffers = make([][]byte, 1)
	}
	var shared *ipv4.PacketConn
	if table.shared != nil {
		shared = ipv4.NewPacketConn(table.shared)
	}
	for {
		count, err := clients.ReadBatch(in, 0)
		if err != nil {
			if isPassing(err) {
				continue
			}
			return err
		}
		ready := 0
		for i := range in[:count] {
			packet := in[i].Buffers[0][:in[i].N]
			way := table.find(in[i].Addr.(*net.UDPAddr).AddrPort(), packet)
			if way == nil {
				continue
			}
			if shared == nil {
				// sendmmsg has one socket, and every flow has its own
				table.sendUp(way, packet)
				continue
			}
			out[ready].Buffers[0], out[ready].Addr = packet, way.toUDP
			ready++
		}
		writeAll(shared, out[:ready])
	}
}

func (table *table) answerBatches(upstream *net.UDPConn, client netip.AddrPort) error {
	from, clients := ipv4.NewPacketConn(upstream), ipv4.NewPacketConn(table.listener)
	in, out, to := openMessages(answerBatch), make([]ipv4.Message, answerBatch), net.UDPAddrFromAddrPort(client)
	for i := range out {
		out[i] = ipv4.Message{Buffers: make([][]byte, 1), Addr: to}
	}
	for {
		count, err := from.ReadBatch(in, 0)
		if err != nil {
			if isPassing(err) {
				continue
			}
			return err
		}
		for i := range in[:count] {
			out[i].Buffers[0] = in[i].Buffers[0][:in[i].N]
		}
		writeAll(clients, out[:count])
	}
}

// writeAll sends what is left again until all has gone; a packet that cannot be sent is said and passed over.
func writeAll(conn *ipv4.PacketConn, messages []ipv4.Message) {
	for len(messages) > 0 {
		sent, err := conn.WriteBatch(messages, 0)
		if err != nil {
			if !isPassing(err) {
				log.Printf("to %s: %v", messages[0].Addr, err)
			}
			sent = max(sent, 0) + 1
		}
		messages = messages[min(sent, len(messages)):]
	}
}
