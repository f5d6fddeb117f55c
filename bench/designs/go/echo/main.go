// A single-port server: every call of the process shares one UDP socket, and hears itself.
//
// Written as pion's documentation has it: ICE-lite (a server with a public address needs no more), one certificate for
// all calls, Opus alone. Sender and receiver reports are on, as they are in the servers it is compared with; nothing
// that they do not do is: no retransmission, no congestion control.
//
//	echo -http ADDR:PORT -udp ADDR:PORT -buffer BYTES
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"
)

const (
	packetMaxBytes = 1500
	payloadType    = 111
)

func main() {
	signalling := flag.String("http", "127.0.0.1:0", "address and port that take offers")
	media := flag.String("udp", "127.0.0.1:0", "address and port of the one socket for media")
	buffer := flag.Int("buffer", 4<<20, "bytes of that socket's buffers")
	flag.Parse()
	conn, err := listenMedia(*media, *buffer)
	if err != nil {
		log.Fatal(err)
	}
	desk, err := newDesk(conn)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp4", *signalling)
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("POST /v1/realtime/calls", desk.take)
	go func() { log.Fatal(http.Serve(listener, nil)) }()
	fmt.Printf("{\"ready\": true, \"port\": %d, \"udp_port\": %d}\n", portOf(listener.Addr()), portOf(conn.LocalAddr()))
	// whoever has started it holds the other end, and may die without a word
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		log.Fatal(err)
	}
}

func listenMedia(at string, buffer int) (*net.UDPConn, error) {
	address, err := net.ResolveUDPAddr("udp4", at)
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP("udp4", address)
	if err != nil {
		return nil, err
	}
	return conn, errors.Join(conn.SetReadBuffer(buffer), conn.SetWriteBuffer(buffer))
}

func portOf(address net.Addr) int {
	switch known := address.(type) {
	case *net.TCPAddr:
		return known.Port
	case *net.UDPAddr:
		return known.Port
	}
	return 0
}

// desk makes calls of offers.
type desk struct {
	api           *webrtc.API
	configuration webrtc.Configuration
}

func newDesk(conn net.PacketConn) (*desk, error) {
	engine := &webrtc.MediaEngine{}
	opus := webrtc.RTPCodecParameters{RTPCodecCapability: opusCapability(), PayloadType: payloadType}
	if err := engine.RegisterCodec(opus, webrtc.RTPCodecTypeAudio); err != nil {
		return nil, err
	}
	reports := &interceptor.Registry{}
	if err := webrtc.ConfigureRTCPReports(reports); err != nil {
		return nil, err
	}
	settings := webrtc.SettingEngine{}
	settings.SetLite(true)
	// it would open two more sockets for each call
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetICEUDPMux(webrtc.NewICEUDPMux(nil, conn))
	certificate, err := newCertificate()
	if err != nil {
		return nil, err
	}
	return &desk{
		api: webrtc.NewAPI(
			webrtc.WithMediaEngine(engine), webrtc.WithSettingEngine(settings), webrtc.WithInterceptorRegistry(reports),
		),
		configuration: webrtc.Configuration{Certificates: []webrtc.Certificate{*certificate}},
	}, nil
}

func opusCapability() webrtc.RTPCodecCapability {
	return webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}
}

func (d *desk) take(response http.ResponseWriter, request *http.Request) {
	var wanted struct {
		SDP string `json:"sdp"`
	}
	if err := json.NewDecoder(request.Body).Decode(&wanted); err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	answer, err := d.answer(wanted.SDP)
	if err != nil {
		http.Error(response, err.Error(), http.StatusInternalServerError)
		return
	}
	response.Header().Set("Content-Type", "application/sdp")
	response.WriteHeader(http.StatusCreated)
	if _, err := io.WriteString(response, answer); err != nil {
		log.Print(err)
	}
}

func (d *desk) answer(offer string) (string, error) {
	peer, err := d.api.NewPeerConnection(d.configuration)
	if err != nil {
		return "", err
	}
	echo, err := webrtc.NewTrackLocalStaticRTP(opusCapability(), "audio", "echo")
	if err != nil {
		return "", errors.Join(err, peer.Close())
	}
	peer.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { playBack(track, echo) })
	peer.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateFailed || state == webrtc.PeerConnectionStateClosed {
			if err := peer.Close(); err != nil {
				log.Print(err)
			}
		}
	})
	if err := negotiate(peer, echo, offer); err != nil {
		return "", errors.Join(err, peer.Close())
	}
	return peer.LocalDescription().SDP, nil
}

func negotiate(peer *webrtc.PeerConnection, echo webrtc.TrackLocal, offer string) error {
	sender, err := peer.AddTrack(echo)
	if err != nil {
		return err
	}
	if err := peer.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return err
	}
	answer, err := peer.CreateAnswer(nil)
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(peer)
	if err := peer.SetLocalDescription(answer); err != nil {
		return err
	}
	<-gathered
	go readReports(sender)
	return nil
}

// readReports lets the interceptors see what the client reports: they are fed by whoever reads.
func readReports(sender *webrtc.RTPSender) {
	buffer := make([]byte, packetMaxBytes)
	for {
		if _, _, err := sender.Read(buffer); err != nil {
			return
		}
	}
}

// playBack ends with the call: reading fails then.
func playBack(track *webrtc.TrackRemote, echo *webrtc.TrackLocalStaticRTP) {
	buffer := make([]byte, packetMaxBytes)
	for {
		count, _, err := track.Read(buffer)
		if err != nil {
			return
		}
		if _, err := echo.Write(buffer[:count]); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			log.Print(err)
			return
		}
	}
}
