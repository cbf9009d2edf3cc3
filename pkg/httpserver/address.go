package httpserver

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// networks are parts of the Internet.
type Networks []netip.Prefix

// ParseNetworks reads networks in CIDR form, or single addresses.
func ParseNetworks(texts []string) (Networks, error) {
	var all Networks
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if addr, single := netip.ParseAddr(text); single == nil {
			prefix, err = addr.Unmap().Prefix(addr.Unmap().BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("%q: want a network such as 10.0.0.0/8", text)
		}
		all = append(all, prefix.Masked())
	}
	return all, nil
}

// Contains reports whether an address is in one of them.
func (n Networks) Contains(a netip.Addr) bool {
	for _, prefix := range n {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// Caller returns who sent a request: the other end of the connection or, when
// that is one of n, the trusted proxies, the last hop that they name who is
// none of them. It is false when what a proxy says cannot be read, or is said
// in two ways that differ: then a proxy passes on what a client wrote.
func (n Networks) Caller(r *http.Request) (netip.Addr, bool) {
	end, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, false
	}
	peer := end.Addr().Unmap().WithZone("")
	if len(n) == 0 || !n.Contains(peer) {
		return peer, true
	}
	said, okSaid := n.last(peer, listed(r.Header["X-Forwarded-For"]))
	forwarded, okForwarded := n.last(peer, forwardedFor(r.Header["Forwarded"]))
	switch {
	case !okSaid || !okForwarded:
		return netip.Addr{}, false
	case r.Header["Forwarded"] == nil:
		return said, true
	case r.Header["X-Forwarded-For"] == nil || said == forwarded:
		return forwarded, true
	default:
		return netip.Addr{}, false
	}
}

// last returns the last hop that is not trusted, walking from our side; peer
// when there are none.
func (n Networks) last(peer netip.Addr, hops []string) (netip.Addr, bool) {
	at := peer
	for _, hop := range slices.Backward(hops) {
		addr, ok := hopAddr(hop)
		if !ok {
			return netip.Addr{}, false
		}
		at = addr
		if !n.Contains(at) {
			break
		}
	}
	return at, true
}

// listed splits the values of a header that is a list.
func listed(values []string) []string {
	var all []string
	for _, v := range values {
		all = append(all, strings.Split(v, ",")...)
	}
	return all
}

// forwardedFor returns the hops in Forwarded (RFC 7239); one without "for" is
// unreadable.
func forwardedFor(values []string) []string {
	hops := listed(values)
	for i, hop := range hops {
		hops[i] = ""
		for pair := range strings.SplitSeq(hop, ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
			if strings.EqualFold(name, "for") {
				hops[i] = strings.Trim(value, `"`)
			}
		}
	}
	return hops
}

// hopAddr reads an address as proxies write it: 192.0.2.1, 192.0.2.1:443,
// 2001:db8::1, [2001:db8::1], [2001:db8::1]:443.
func hopAddr(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at.Addr().Unmap().WithZone(""), true
	}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		text = strings.TrimSuffix(inner, "]")
	}
	addr, err := netip.ParseAddr(text)
	return addr.Unmap().WithZone(""), err == nil
}
