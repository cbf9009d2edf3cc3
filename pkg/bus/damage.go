package bus

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"
)

// damageSubject is where processes tell the writer which parts of tables they
// could not read. It is on no stream: who cannot read a part tells so each time.
const damageSubject = "damage"

// TellDamage tells the writers that run now.
func (b *Bus) TellDamage(parts any) error {
	data, err := json.Marshal(parts)
	if err != nil {
		return fmt.Errorf("encode damaged parts: %w", err)
	}
	if err := b.nc.Publish(damageSubject, data); err != nil {
		return fmt.Errorf("publish on %s: %w", damageSubject, err)
	}
	return nil
}

// HearDamage hands h what other processes tell, until ctx ends.
func (b *Bus) HearDamage(ctx context.Context, h func(data []byte)) error {
	sub, err := b.nc.Subscribe(damageSubject, func(m *nats.Msg) { h(m.Data) })
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", damageSubject, err)
	}
	<-ctx.Done()
	_ = sub.Unsubscribe() // without a connection it is over too
	return ctx.Err()
}
