package e2e_test

import (
	"archive/tar"
	"crypto/sha256"
	endian "encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/minio/highwayhash"
	"github.com/rogpeppe/go-internal/testscript"
)

// unpack makes the script's data directory that of an earlier version, from
// testdata: unpack v0.1.0. It sets DUMP to the folder with what was sent, and
// SHOWN_name to each of the things that were shown once.
func unpack(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: unpack VERSION")
	}
	from, err := filepath.Abs(filepath.Join("testdata", args[0]))
	ts.Check(err)
	ts.Setenv("DUMP", from)
	data := ts.MkAbs("data")
	ts.Check(untar(filepath.Join(from, "data.tar.zst"), data))
	ts.Check(renew(data, "DEAD"))
	var shown map[string]string
	text, err := os.ReadFile(filepath.Join(data, "shown.json"))
	ts.Check(err)
	ts.Check(json.Unmarshal(text, &shown))
	for name, value := range shown {
		ts.Setenv("SHOWN_"+name, value)
	}
}

func untar(archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	packed, err := zstd.NewReader(f)
	if err != nil {
		return err
	}
	defer packed.Close()
	files := tar.NewReader(packed)
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Join(dir, h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(path, 0o700)
		case tar.TypeSymlink:
			err = os.Symlink(h.Linkname, path)
		default:
			var text []byte
			if text, err = io.ReadAll(files); err == nil {
				err = os.WriteFile(path, text, 0o600)
			}
		}
		if err != nil {
			return err
		}
	}
}

// renew gives the messages of a stream the time of today: what is too old, by
// the server's own clock, would be gone before anybody looks. A message lies in
// its block as length, sequence, time, length of the subject, subject, the rest,
// and a hash of all but the lengths.
func renew(data, stream string) error {
	dir := filepath.Join(data, "bus", "jetstream", "$G", "streams", stream, "msgs")
	if err := os.Remove(filepath.Join(dir, "index.db")); err != nil { // made anew from the blocks
		return err
	}
	block, err := os.ReadFile(filepath.Join(dir, "1.blk"))
	if err != nil {
		return err
	}
	key := sha256.Sum256([]byte(stream + "-1"))
	hash, err := highwayhash.NewDigest64(key[:])
	if err != nil {
		return err
	}
	const head, sum = 22, 8
	le := endian.LittleEndian
	for rest := block; len(rest) > 0; {
		length := le.Uint32(rest)
		withHeaders, size := length>>31 == 1, int(length&^(1<<31))
		if size < head+sum || size > len(rest) {
			return fmt.Errorf("stream %s: a message of %d bytes where %d are left", stream, size, len(rest))
		}
		m := rest[:size]
		rest = rest[size:]
		write := func() []byte {
			hash.Reset()
			hash.Write(m[4:20])
			subject := head + int(le.Uint16(m[20:]))
			hash.Write(m[head:subject])
			if withHeaders {
				subject += 4 // their length
			}
			hash.Write(m[subject : size-sum])
			return hash.Sum(nil)
		}
		if string(write()) != string(m[size-sum:]) {
			return fmt.Errorf("stream %s: the hash of a message is not what is thought here", stream)
		}
		le.PutUint64(m[12:], uint64(time.Now().UnixNano()))
		copy(m[size-sum:], write())
	}
	return os.WriteFile(filepath.Join(dir, "1.blk"), block, 0o600)
}
