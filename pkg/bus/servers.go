package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// ServerStatus is what one server says of itself, to those who may ask.
type ServerStatus struct {
	Name       string `json:"name"`
	Version    string `json:"version"`
	SyncAlways *bool  `json:"sync_always,omitempty"` // absent: it has no JetStream
}

const (
	serversWait  = time.Second            // for the first
	serversQuiet = 150 * time.Millisecond // then nobody else answers
	maxServers   = 100
)

// servers asks all servers what they say of themselves. Nobody answers those who
// may not ask: none is no error.
func (b *Bus) servers(ctx context.Context) ([]ServerStatus, error) {
	if !b.May(allJSZ) {
		return nil, nil
	}
	inbox := b.nc.NewInbox()
	sub, err := b.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("listen to the servers: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only when the connection is closed
	if err := b.nc.PublishRequest(allJSZ, inbox, nil); err != nil {
		return nil, fmt.Errorf("ask the servers: %w", err)
	}
	var all []ServerStatus
	for wait := serversWait; len(all) < maxServers; wait = serversQuiet {
		within, cancel := context.WithTimeout(ctx, wait)
		msg, err := sub.NextMsgWithContext(within)
		cancel()
		if err != nil || msg.Header.Get("Status") != "" {
			if ctx.Err() != nil && len(all) == 0 {
				return nil, fmt.Errorf("ask the servers: %w", ctx.Err())
			}
			if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrNoResponders) {
				return nil, fmt.Errorf("ask the servers: %w", err)
			}
			break
		}
		s, err := readServer(msg.Data)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b ServerStatus) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

func readServer(data []byte) (s ServerStatus, err error) {
	var answer struct {
		Server struct {
			Name    string `json:"name"`
			Version string `json:"ver"`
		} `json:"server"`
		Data struct {
			Disabled bool `json:"disabled"`
			Config   struct {
				SyncAlways bool `json:"sync_always"`
			} `json:"config"`
		} `json:"data"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return s, fmt.Errorf("read what a server says of itself: %w", err)
	}
	s = ServerStatus{Name: answer.Server.Name, Version: answer.Server.Version}
	if !answer.Data.Disabled {
		s.SyncAlways = &answer.Data.Config.SyncAlways
	}
	return s, nil
}
