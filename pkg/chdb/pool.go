package chdb

import (
	"context"
	"sync"
)

// pool hands out connections: first come, first served, the one used last
// first, since its settings most likely fit.
type pool struct {
	conns []*conn

	mu      sync.Mutex
	idle    []*conn
	waiting []chan *conn // in order of arrival; each has room for one
	busy    map[*conn]bool
	closed  bool
	changed chan struct{} // closed and replaced at every return while closing
}

func newPool(conns []*conn) *pool {
	return &pool{conns: conns, idle: append([]*conn(nil), conns...), busy: map[*conn]bool{}, changed: make(chan struct{})}
}

// get waits for a connection. Whoever gets one must put it back.
func (p *pool) get(ctx context.Context) (*conn, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		p.mu.Unlock()
		return nil, err
	}
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.busy[c] = true
		p.mu.Unlock()
		return c, nil
	}
	turn := make(chan *conn, 1)
	p.waiting = append(p.waiting, turn)
	p.mu.Unlock()

	select {
	case c := <-turn:
		if c == nil {
			return nil, ErrClosed
		}
		return c, nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	for i, w := range p.waiting {
		if w == turn {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			p.mu.Unlock()
			return nil, ctx.Err()
		}
	}
	p.mu.Unlock()
	// The turn came at the same moment: give it to the next.
	if c := <-turn; c != nil {
		p.put(c)
	}
	return nil, ctx.Err()
}

// put gives a connection back.
func (p *pool) put(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) > 0 {
		p.waiting[0] <- c
		p.waiting = p.waiting[1:]
		return
	}
	delete(p.busy, c)
	p.idle = append(p.idle, c)
	if p.closed {
		close(p.changed)
		p.changed = make(chan struct{})
	}
}

// close refuses new requests and those that wait, and waits for the running
// ones. It returns the connections that were still in use when ctx ended.
func (p *pool) close(ctx context.Context) []*conn {
	for {
		p.mu.Lock()
		p.closed = true
		for _, turn := range p.waiting {
			turn <- nil
		}
		p.waiting = nil
		var running []*conn
		for c := range p.busy {
			running = append(running, c)
		}
		changed := p.changed
		p.mu.Unlock()
		if len(running) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return running
		}
	}
}
