// pion's TURN server with one user, as its own example starts it.
//
//	turn -listen ADDR:PORT -buffer BYTES -user NAME -password WORD -realm NAME
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"os/signal"
	"syscall"

	"github.com/pion/turn/v4"
)

func main() {
	listen := flag.String("listen", "", "address and port of the clients' socket")
	buffer := flag.Int("buffer", 4<<20, "bytes of the clients' socket buffers")
	user := flag.String("user", "", "the one user")
	password := flag.String("password", "", "and the password")
	realm := flag.String("realm", "bench", "and the realm")
	flag.Parse()
	address, err := net.ResolveUDPAddr("udp4", *listen)
	if err != nil {
		log.Fatal(err)
	}
	conn, err := net.ListenUDP("udp4", address)
	if err != nil {
		log.Fatal(err)
	}
	if err := conn.SetReadBuffer(*buffer); err != nil {
		log.Fatal(err)
	}
	if err := conn.SetWriteBuffer(*buffer); err != nil {
		log.Fatal(err)
	}
	key := turn.GenerateAuthKey(*user, *realm, *password)
	server, err := turn.NewServer(turn.ServerConfig{
		Realm: *realm,
		AuthHandler: func(name, _ string, _ net.Addr) ([]byte, bool) {
			return key, name == *user
		},
		PacketConnConfigs: []turn.PacketConnConfig{{
			PacketConn: conn,
			RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{
				RelayAddress: address.IP,
				Address:      address.IP.String(),
			},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	<-ctx.Done()
	if err := server.Close(); err != nil {
		log.Fatal(err)
	}
}
