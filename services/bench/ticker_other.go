//go:build !linux

package bench

import (
	"io"
	"time"
)

// newTicker returns what can be read from whenever d has passed.
func newTicker(d time.Duration) (io.ReadCloser, error) { return ticker{time.NewTicker(d)}, nil }

type ticker struct{ *time.Ticker }

func (t ticker) Read(b []byte) (int, error) {
	<-t.C
	return len(b), nil
}

func (t ticker) Close() error {
	t.Stop()
	return nil
}
