package fetcher

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"whatchanged/pkg/bus"
	"whatchanged/pkg/change"
)

// provider is who wrote the log files that are fetched.
const provider = "cloudtrail"

// What a file is cut into when it is too large for one delivery.
const (
	partBytes   = 4 << 20
	partRecords = 20_000
)

// deliver commits the object as it is; only when it is too large for that, as
// several deliveries with a part of its records each.
func (f *Fetcher) deliver(ctx context.Context, file bus.LogFile, object []byte) error {
	compressed := bytes.HasPrefix(object, []byte{0x1f, 0x8b})
	fits, err := f.fits(object, compressed)
	if err != nil {
		return err
	}
	if fits {
		header := http.Header{}
		if compressed {
			header.Set("Content-Encoding", "gzip")
		}
		return f.commit(ctx, file, 1, header, object)
	}
	return f.split(ctx, file, object, compressed)
}

// fits reports whether the object is a body that the rest of the product takes.
func (f *Fetcher) fits(object []byte, compressed bool) (bool, error) {
	if !compressed {
		return len(object) <= f.cfg.MaxBody, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(object))
	if err != nil {
		return false, fmt.Errorf("%w: read gzip: %w", change.ErrMalformed, err)
	}
	n, err := io.Copy(io.Discard, io.LimitReader(r, int64(f.cfg.MaxBody)+1))
	if err != nil {
		return false, fmt.Errorf("%w: read gzip: %w", change.ErrMalformed, err)
	}
	return n <= int64(f.cfg.MaxBody), nil
}

// commit makes one delivery durable. Part 1 has the object's own identity.
func (f *Fetcher) commit(ctx context.Context, file bus.LogFile, part int, header http.Header, body []byte) error {
	identity := "s3:" + file.Bucket + "/" + file.Key
	if part > 1 {
		identity += "#" + strconv.Itoa(part)
	}
	header.Set("Content-Type", "application/json")
	header.Set("Whatchanged-Object", file.String())
	header.Set("Whatchanged-Notice", file.DeliveryID.String())
	now := time.Now()
	_, err := f.Committer.Commit(ctx, &change.Delivery{
		ID: change.NewDeliveryID(now), Org: file.Org, SourceID: file.SourceID, ReceivedAt: change.At(now),
		Header: header, Body: body, Identity: identity, Provider: provider,
	})
	if err != nil {
		return fmt.Errorf("commit part %d: %w", part, err)
	}
	return nil
}

// split reads the object's Records one after the other and commits them in
// parts. The same object is always cut in the same places, so that each part
// has its identity whenever the file is fetched again.
func (f *Fetcher) split(ctx context.Context, file bus.LogFile, object []byte, compressed bool) error {
	var r io.Reader = bytes.NewReader(object)
	if compressed {
		zipped, err := gzip.NewReader(r)
		if err != nil {
			return fmt.Errorf("%w: read gzip: %w", change.ErrMalformed, err)
		}
		r = zipped
	}
	limited := &io.LimitedReader{R: r, N: f.cfg.MaxOpened + 1}
	part := records{most: min(partBytes, f.cfg.MaxBody)}
	number := 0
	commit := func() error {
		number++
		defer part.reset()
		return f.commit(ctx, file, number, http.Header{}, part.body())
	}
	err := eachRecord(json.NewDecoder(limited), func(record json.RawMessage) error {
		if !part.fits(record) {
			if part.count == 0 {
				return fmt.Errorf("%w: %w: a record of %d bytes", change.ErrMalformed, errTooLarge, len(record))
			}
			if err := commit(); err != nil {
				return err
			}
		}
		part.add(record)
		return nil
	})
	switch {
	case limited.N <= 0:
		return fmt.Errorf("%w: %w: more than %d bytes decompressed", change.ErrMalformed, errTooLarge, f.cfg.MaxOpened)
	case err != nil:
		return err
	case part.count == 0:
		return nil
	}
	return commit()
}

// errShape is what is too large and not a log file either.
var errShape = fmt.Errorf("%w: not a log file: want an object with a list of Records", change.ErrMalformed)

// eachRecord hands the items of the top-level list "Records" to h.
func eachRecord(dec *json.Decoder, h func(json.RawMessage) error) error {
	malformed := func(err error) error { return fmt.Errorf("%w: read records: %w", change.ErrMalformed, err) }
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errors.Join(errShape, err)
	}
	seen := false
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return malformed(err)
		}
		var value json.RawMessage
		if name != "Records" || seen {
			if err := dec.Decode(&value); err != nil {
				return malformed(err)
			}
			continue
		}
		seen = true
		if t, err := dec.Token(); err != nil || t != json.Delim('[') {
			return errors.Join(errShape, err)
		}
		for dec.More() {
			if err := dec.Decode(&value); err != nil {
				return malformed(err)
			}
			if err := h(value); err != nil {
				return err
			}
		}
		if _, err := dec.Token(); err != nil {
			return malformed(err)
		}
	}
	if !seen {
		return errShape
	}
	if _, err := dec.Token(); err != nil {
		return malformed(err)
	}
	return nil
}

// records is a part of a log file that is being filled.
type records struct {
	buf   []byte
	count int
	most  int
}

const recordsFrame = len(`{"Records":[]}`)

func (p *records) fits(record []byte) bool {
	return len(p.buf)+len(record)+1+recordsFrame <= p.most && p.count < partRecords
}

func (p *records) add(record []byte) {
	if p.count == 0 {
		p.buf = append(p.buf[:0], `{"Records":[`...)
	} else {
		p.buf = append(p.buf, ',')
	}
	p.buf = append(p.buf, record...)
	p.count++
}

func (p *records) body() []byte { return append(p.buf, "]}"...) }

func (p *records) reset() { p.count = 0 }
