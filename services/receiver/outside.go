package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"
)

// What the receiver fetches from others (certificates, keys, confirmations) is
// small and comes fast, or not at all: a sender is waiting.
const (
	fetchTimeout = 3 * time.Second
	maxFetched   = 256 << 10 // bytes
	maxFetches   = 16        // at one time, whoever asks
)

var errTooManyFetches = errors.New("too many requests to others at one time")

// outside is the receiver's way to other servers.
type outside struct {
	client *http.Client
	room   *semaphore.Weighted
}

// newOutside returns a way to others through client, or through one of its own
// when that is nil. No redirect is followed: where to go is decided here.
func newOutside(client *http.Client) *outside {
	own := http.Client{Timeout: fetchTimeout}
	if client != nil {
		own = *client
	} else {
		dialer := &net.Dialer{Timeout: fetchTimeout, Control: refuseLocal}
		own.Transport = &http.Transport{ // without the proxies of the environment
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, DisableKeepAlives: true,
			TLSHandshakeTimeout: fetchTimeout, MaxResponseHeaderBytes: 64 << 10,
		}
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &outside{client: &own, room: semaphore.NewWeighted(maxFetches)}
}

// refuseLocal keeps connections from this machine and its link, where the
// cloud's metadata is, whatever a name resolves to. Private networks are
// allowed: SNS may have an endpoint there, and so may an issuer of tokens.
func refuseLocal(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("dial %s: %w", address, err)
	}
	ip := at.Addr().Unmap()
	if ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
		return fmt.Errorf("dial %s: not an address to fetch from", ip)
	}
	return nil
}

// get fetches what is at address. It goes on when the request that asked for it is
// gone, since others may wait for the same.
func (o *outside) get(ctx context.Context, address string) ([]byte, http.Header, error) {
	if !o.room.TryAcquire(1) {
		return nil, nil, errTooManyFetches
	}
	defer o.room.Release(1)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, withoutURL(err)
	}
	res, err := o.client.Do(req)
	if err != nil {
		return nil, nil, withoutURL(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxFetched+1))
	switch {
	case err != nil:
		return nil, nil, withoutURL(err)
	case res.StatusCode != http.StatusOK:
		return nil, nil, fmt.Errorf("%s answered %d", req.URL.Host, res.StatusCode)
	case len(body) > maxFetched:
		return nil, nil, fmt.Errorf("%s answered with more than %d bytes", req.URL.Host, maxFetched)
	}
	return body, res.Header, nil
}

// withoutURL drops the URL that net/http puts into its errors: that of a
// confirmation has a token in it.
func withoutURL(err error) error {
	if with, ok := errors.AsType[*url.Error](err); ok {
		return with.Err
	}
	return err
}
