// A relay in Go after the published recipe: SO_REUSEPORT sockets, one goroutine each that is locked to its thread,
// buffers allocated once, and a table from client address to upstream that the first packet's ufrag fills.
//
//	relay -listen ADDR:PORT -buffer BYTES [-batch N] [-upstream flow|shared]
//
// -batch 1 receives and sends one packet a call; above it golang.org/x/net's ReadBatch and WriteBatch are used.
// -upstream flow opens a connected socket for each client, which brings answers back to it. shared sends everything
// from one socket: cheaper, batches of packets to many transceivers leave in one call, and no way back.
//
// Lives here: sockets, options, start. Must not live here: forwarding (forward.go, batch.go), reading a ufrag (ufrag.go).
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// larger than any packet of a call, and what Ethernet carries
const slotBytes = 1500

type options struct {
	listen   string
	buffer   int
	batch    int
	isShared bool
}

func main() {
	var chosen options
	upstream := flag.String("upstream", "flow", "flow or shared")
	flag.StringVar(&chosen.listen, "listen", "", "address and port of the clients' socket")
	flag.IntVar(&chosen.buffer, "buffer", 4<<20, "bytes of the clients' socket buffers")
	flag.IntVar(&chosen.batch, "batch", 1, "packets in one call")
	flag.Parse()
	if *upstream != "flow" && *upstream != "shared" || chosen.batch < 1 {
		log.Fatal("-upstream is flow or shared, -batch at least 1")
	}
	chosen.isShared = *upstream == "shared"
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	failed := make(chan error, 1)
	// as many receivers as processors: the kernel keeps a client at one of them, so their tables share nothing
	for range runtime.GOMAXPROCS(0) {
		go func() {
			runtime.LockOSThread()
			err := receive(ctx, chosen)
			select {
			case failed <- err:
			default:
			}
		}()
	}
	select {
	case err := <-failed:
		log.Fatal(err)
	case <-ctx.Done():
	}
}

func receive(ctx context.Context, chosen options) error {
	listener, err := openListener(ctx, chosen)
	if err != nil {
		return err
	}
	defer listener.Close()
	table, err := newTable(listener, chosen)
	if err != nil {
		return err
	}
	if chosen.batch > 1 {
		return table.receiveBatches(chosen.batch)
	}
	return table.receiveOneByOne()
}

func openListener(ctx context.Context, chosen options) (*net.UDPConn, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		})
		return errors.Join(err, failed)
	}}
	packets, err := config.ListenPacket(ctx, "udp4", chosen.listen)
	if err != nil {
		return nil, err
	}
	listener, isUDP := packets.(*net.UDPConn)
	if !isUDP {
		return nil, errors.New("not a UDP socket")
	}
	return listener, errors.Join(listener.SetReadBuffer(chosen.buffer), listener.SetWriteBuffer(chosen.buffer))
}
