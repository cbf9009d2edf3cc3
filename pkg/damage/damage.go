// Package damage carries which parts of tables one process could not read to
// the writer, the only one that puts parts aside. It does not decide whether
// they are damaged.
package damage

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/store"
)

// pause is between two tellings: a question that many ask fails for each.
const pause = time.Second

// Tell tells the writer what s could not read, until ctx ends.
func Tell(ctx context.Context, b *bus.Bus, s *store.Store, log *slog.Logger) error {
	for {
		select {
		case <-s.Stumbled():
		case <-ctx.Done():
			return ctx.Err()
		}
		parts := s.Suspects()
		if len(parts) == 0 {
			continue
		}
		log.Warn("parts of tables cannot be read: the writer looks at them", "parts", len(parts), "first_part", parts[0].Part)
		if err := b.TellDamage(parts); err != nil {
			log.Warn("the writer cannot be told", "error", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Hear lets s look at what other processes tell of, until ctx ends.
func Hear(ctx context.Context, b *bus.Bus, s *store.Store, log *slog.Logger) error {
	return b.HearDamage(ctx, func(data []byte) {
		var parts []store.Suspect
		if err := json.Unmarshal(data, &parts); err != nil {
			log.Warn("what was told of damaged parts cannot be read", "error", err)
			return
		}
		s.Suspect(parts...)
	})
}
