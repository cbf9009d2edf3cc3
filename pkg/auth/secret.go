// Package auth holds what keys, tokens and secrets are made of: how they are
// drawn, hashed and sealed, which scopes exist, and who is calling. It knows
// no storage and no HTTP.
package auth

import (
	"fmt"
	"log/slog"
)

// Redacted stands where a secret would have been printed.
const Redacted = "<redacted>"

// Secret is a string that no formatter, logger or encoder prints. Convert it
// with Reveal, where it must be used.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String hides the secret.
func (s Secret) String() string { return Redacted }

// Format hides the secret from every verb of package fmt, %x and %#v included.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, Redacted) }

// LogValue hides the secret from package slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalText hides the secret from encoders, JSON and YAML among them. There
// is no way back: a configuration that was dumped cannot be read as secrets.
func (s Secret) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// UnmarshalText takes the secret from a configuration file.
func (s *Secret) UnmarshalText(b []byte) error {
	*s = Secret(b)
	return nil
}
