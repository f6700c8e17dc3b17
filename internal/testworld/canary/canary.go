// Package canary listens where nobody is to come.
package canary

import (
	"net"
	"testing"
)

// Listen listens on TCP and UDP until the test ends, which fails if anybody came.
func Listen(t testing.TB) (address string) {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		_ = tcp.Close()
		t.Fatal(err)
	}
	overTCP, overUDP := make(chan int), make(chan int)
	go func() {
		visits := 0
		for {
			c, err := tcp.Accept()
			if err != nil {
				overTCP <- visits
				return
			}
			visits++
			_ = c.Close()
		}
	}()
	go func() {
		visits := 0
		for {
			if _, _, err := udp.ReadFrom(make([]byte, 1)); err != nil {
				overUDP <- visits
				return
			}
			visits++
		}
	}()
	t.Cleanup(func() {
		_, _ = tcp.Close(), udp.Close()
		if n, m := <-overTCP, <-overUDP; n+m != 0 {
			t.Errorf("somebody came %d times over TCP, %d times over UDP", n, m)
		}
	})
	return tcp.Addr().String()
}
