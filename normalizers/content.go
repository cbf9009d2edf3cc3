package normalizers

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"whatchanged/pkg/change"
)

// Errors of Content that a caller may want to tell apart; both are malformed.
var (
	ErrTooLarge = fmt.Errorf("%w: too large once decompressed", change.ErrMalformed)
	ErrEncoding = fmt.Errorf("%w: unsupported content encoding", change.ErrMalformed)
)

// maxCodings is how many content codings may lie over each other.
const maxCodings = 4

// Content returns the JSON of a request: decompressed as its Content-Encoding
// says, out of a form's payload field, less a byte order mark, and checked. What it returns may
// share memory with body. No more than limit bytes are decompressed.
func Content(h http.Header, body []byte, limit int) ([]byte, error) {
	body, err := Decompress(h, body, limit)
	if err != nil {
		return nil, err
	}
	if isForm(h, body) {
		if body, err = FormPayload(body); err != nil {
			return nil, err
		}
	}
	if err := CheckJSON(body); err != nil {
		return nil, err
	}
	return bytes.TrimPrefix(body, []byte(bom)), nil
}

// Decompress undoes the request's Content-Encoding.
func Decompress(h http.Header, body []byte, limit int) ([]byte, error) {
	header := h.Get("Content-Encoding")
	if header == "" {
		return body, nil
	}
	codings := strings.Split(header, ",")
	if len(codings) > maxCodings {
		return nil, fmt.Errorf("%w: %d codings", ErrEncoding, len(codings))
	}
	var err error
	for _, coding := range slices.Backward(codings) { // the last one was applied last
		switch coding := strings.ToLower(strings.TrimSpace(coding)); coding {
		case "", "identity":
		case "gzip", "x-gzip":
			body, err = gunzip(body, limit)
		case "deflate":
			body, err = inflate(body, limit)
		default:
			return nil, fmt.Errorf("%w: %q", ErrEncoding, Truncate(coding, 20))
		}
		if err != nil {
			return nil, err
		}
	}
	return body, nil
}

func gunzip(b []byte, limit int) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%w: read gzip: %w", change.ErrMalformed, err)
	}
	return readAll(r, limit)
}

// inflate reads what HTTP calls deflate: by its definition a zlib stream, but
// some clients send the bare one.
func inflate(b []byte, limit int) ([]byte, error) {
	r, err := zlib.NewReader(bytes.NewReader(b))
	if errors.Is(err, zlib.ErrHeader) {
		r, err = flate.NewReader(bytes.NewReader(b)), nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: read deflate: %w", change.ErrMalformed, err)
	}
	return readAll(r, limit)
}

func readAll(r io.Reader, limit int) ([]byte, error) {
	out, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	switch {
	case len(out) > limit:
		return nil, ErrTooLarge
	case err != nil:
		return nil, fmt.Errorf("%w: decompress: %w", change.ErrMalformed, err)
	}
	return out, nil
}

// isForm reports whether the body is a form. Content counts more than its
// type: curl calls everything it sends with -d a form.
func isForm(h http.Header, body []byte) bool {
	contentType := h.Get("Content-Type")
	if len(contentType) < len("application/x") || contentType[len("application/")]|0x20 != 'x' {
		return false
	}
	media, _, _ := mime.ParseMediaType(contentType)
	if media != "application/x-www-form-urlencoded" {
		return false
	}
	start := bytes.TrimLeft(bytes.TrimPrefix(body, []byte(bom)), " \t\r\n")
	return len(start) == 0 || !strings.ContainsRune(`{["`, rune(start[0]))
}

// FormPayload returns the JSON in the payload field of a form, the first one.
func FormPayload(body []byte) ([]byte, error) {
	for field := range bytes.SplitSeq(body, []byte("&")) {
		name, value, _ := bytes.Cut(field, []byte("="))
		if string(name) != "payload" {
			continue
		}
		text, err := url.QueryUnescape(string(value))
		if err != nil {
			return nil, fmt.Errorf("%w: decode the form's payload: %w", change.ErrMalformed, err)
		}
		return []byte(text), nil
	}
	return nil, fmt.Errorf("%w: a form without payload=", change.ErrMalformed)
}
