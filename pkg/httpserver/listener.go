package httpserver

import (
	"net"
	"net/netip"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// limitListener closes connections beyond its limits at once, so that those
// within them are served: queueing them would let one address starve all.
type limitListener struct {
	net.Listener
	total      int
	perAddress int
	refused    *prometheus.CounterVec // by limit
	gauge      prometheus.Gauge

	mu    sync.Mutex
	open  int
	peers map[netip.Addr]int // only those with an open connection
}

// Accept returns the next connection within the limits.
func (l *limitListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer := peerOf(conn.RemoteAddr())
		if reason := l.take(peer); reason != "" {
			l.refused.WithLabelValues(reason).Inc()
			conn.Close()
			continue
		}
		return &limitConn{Conn: conn, release: sync.OnceFunc(func() { l.release(peer) })}, nil
	}
}

// take counts a connection in, or says why not.
func (l *limitListener) take(peer netip.Addr) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.open >= l.total:
		return "total"
	case l.peers[peer] >= l.perAddress:
		return "address"
	}
	l.open++
	l.gauge.Inc()
	l.peers[peer]++
	return ""
}

func (l *limitListener) release(peer netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	l.gauge.Dec()
	if l.peers[peer]--; l.peers[peer] == 0 {
		delete(l.peers, peer)
	}
}

type limitConn struct {
	net.Conn
	release func()
}

// Close counts the connection out.
func (c *limitConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// CloseWrite lets net/http end an answer before it throws away what the
// client is still sending; without it the client could see a reset instead.
func (c *limitConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func peerOf(addr net.Addr) netip.Addr {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return Network(tcp.AddrPort().Addr())
}

// Network returns what counts as one address: an IPv4 address, or the /64 of
// an IPv6 address, of which anyone has 2^64.
func Network(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}
