package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const noopAnswer = `{"data":{"delivery_id":"dlv_00000000000000000000000000","status":"accepted","duplicate":false}}`

// noop is the limit of everything that is served with net/http: a handler
// that reads the body and answers as the receiver does.
func noop(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, noopAnswer) // an error is the client's: it is gone
}

// noopStarted is what the no-op server is asked and answers with: nothing.
type noopStarted struct{}

// serveNoop says where it listens and serves until ctx ends.
func serveNoop(ctx context.Context, _ noopStarted, say func(message[noopStarted])) (noopStarted, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return noopStarted{}, fmt.Errorf("listen: %w", err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(noop), ReadHeaderTimeout: 5 * time.Second}
	say(message[noopStarted]{Address: ln.Addr().String()})
	stop := context.AfterFunc(ctx, func() { srv.Close() }) // Serve then says so
	defer stop()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return noopStarted{}, fmt.Errorf("serve: %w", err)
	}
	return noopStarted{}, nil
}
