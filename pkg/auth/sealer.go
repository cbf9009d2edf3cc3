package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"whatchanged/pkg/durable"
)

// ErrNoMasterKey says that sealed secrets exist and the key that opens them
// does not.
var ErrNoMasterKey = errors.New("the master key is missing, and secrets exist that were sealed with it: restore master.key from its backup or set WHATCHANGED_MASTER_KEY")

const (
	masterKeySize = 32
	sealVersion   = 1
)

// Sealed is a secret that must be read back, encrypted with the master key.
type Sealed []byte

// Sealer encrypts secrets with the master key (AES-256-GCM). The key is kept
// outside the registry, so that a copy of the registry gives no secret away.
// It is safe for concurrent use.
type Sealer struct {
	aead cipher.AEAD
	mark string
}

// Mark tells one master key from another and nothing else about it: a backup
// says by it which key its secrets need.
func (s *Sealer) Mark() string { return s.mark }

// OpenSealer returns a Sealer with the key from value, when that is not empty,
// else from the file at path, else with a fresh key that it writes there. With
// mustExist (sealed secrets are known to exist) a missing key is ErrNoMasterKey
// instead: a new one would only hide the loss.
func OpenSealer(path string, value Secret, mustExist bool) (*Sealer, error) {
	if value != "" {
		key, err := parseMasterKey(value.Reveal())
		if err != nil {
			return nil, fmt.Errorf("master key from the environment: %w", err)
		}
		return newSealer(key)
	}
	key, err := readMasterKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if mustExist {
			return nil, fmt.Errorf("%s: %w", path, ErrNoMasterKey)
		}
		key, err = createMasterKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	return newSealer(key)
}

func newSealer(key []byte) (*Sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	mark := hmac.New(sha256.New, key)
	mark.Write([]byte("whatchanged master key mark"))
	return &Sealer{aead: aead, mark: hex.EncodeToString(mark.Sum(nil)[:8])}, nil
}

// Seal encrypts secret for owner, such as an org's id. It opens for the same
// owner only.
func (s *Sealer) Seal(owner string, secret Secret) Sealed {
	out := make([]byte, 1, 1+s.aead.NonceSize()+len(secret)+s.aead.Overhead())
	out[0] = sealVersion
	out = out[:1+s.aead.NonceSize()]
	rand.Read(out[1:])                                              // never fails: see crypto/rand.Read
	return s.aead.Seal(out, out[1:], []byte(secret), []byte(owner)) //nolint:gosec // its nonce is fresh
}

// Open decrypts what Seal made for the same owner.
func (s *Sealer) Open(owner string, sealed Sealed) (Secret, error) {
	head := 1 + s.aead.NonceSize()
	if len(sealed) < head || sealed[0] != sealVersion {
		return "", errors.New("open sealed secret: unknown form")
	}
	plain, err := s.aead.Open(nil, sealed[1:head], sealed[head:], []byte(owner))
	if err != nil {
		return "", errors.New("open sealed secret: it was sealed with another master key, for another owner, or is damaged")
	}
	return Secret(plain), nil
}

// parseMasterKey reads 32 bytes in base64 or hexadecimal. Its errors never
// show what was given.
func parseMasterKey(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	if key, err := hex.DecodeString(text); err == nil && len(key) == masterKeySize {
		return key, nil
	}
	unpadded := strings.TrimRight(text, "=")
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if key, err := enc.DecodeString(unpadded); err == nil && len(key) == masterKeySize {
			return key, nil
		}
	}
	return nil, errors.New("want 32 bytes in base64 or hexadecimal (openssl rand -base64 32)")
}

func readMasterKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o): run chmod 600 on it", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := parseMasterKey(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// createMasterKey writes a fresh key. The file appears complete or not at all,
// and is on disk before the key is used: what it seals may outlive a power cut
// that it does not.
func createMasterKey(path string) ([]byte, error) {
	key := make([]byte, masterKeySize)
	rand.Read(key)
	dir := filepath.Dir(path)
	if err := durable.MkdirAll(dir); err != nil {
		return nil, err
	}
	tmp, err := os.CreateTemp(dir, ".master.key-*") // mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	// Link, unlike rename, never replaces a key that another process just made.
	if err := os.Link(tmp.Name(), path); errors.Is(err, fs.ErrExist) {
		return readMasterKey(path)
	} else if err != nil {
		return nil, err
	}
	return key, durable.SyncDir(dir)
}
